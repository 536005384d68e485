// What the readers of CSV and Parquet tables share: which of a table's columns are wanted, and how a
// time prints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "dataio/meds/text_table.h"

namespace sequela {

// [wanted] the place of each wanted column among those present. Throws InputError for one that is
// not there or is there twice; `advice` ends the message of the former.
std::vector<std::size_t> FindColumns(const std::vector<WantedColumn>& wanted,
                                     const std::vector<std::string>& present,
                                     const std::string& file, const std::string& advice);

// "2150-01-31" of a date; else "2150-01-31 10:00:00", with ".250000" where the second has a fraction.
std::string PrintTime(std::int64_t time_us, bool date_only);

}  // namespace sequela
