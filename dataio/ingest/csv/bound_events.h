// A mapping's events with their columns as places in a batch of a table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataio/ingest/csv_mapping.h"
#include "dataio/meds/text_table.h"

namespace sequela {

// The columns that a table's events need, and where each is.
class ColumnList {
 public:
  // The place of a column, which is added where it is new.
  std::size_t Add(const std::string& name, bool as_text = true);
  const std::vector<WantedColumn>& columns() const { return columns_; }

 private:
  std::vector<WantedColumn> columns_;
};

struct BoundEvent {
  const CsvEvent* event = nullptr;
  // Places among the columns; those that the event does not name are 0 and not read.
  std::vector<std::vector<std::size_t>> code_columns;  // [codes][columns of the template]
  std::size_t value = 0, text = 0, time = 0, age = 0;
  std::vector<std::size_t> offsets;
  std::vector<std::size_t> conditions;
  std::uint32_t sequence = 0;  // among the events of one time stamp: by order, then by table
  std::uint16_t number = 0;    // in the table
  std::int64_t wanted = 0;     // rows that the mapping wants as this event
  LossCounts lost;             // of them
};

// All of a table's events; their columns are added to `columns`. `number`: the table's place in the
// mapping. The table outlives them.
std::vector<BoundEvent> BindEvents(const CsvTable& table, std::uint32_t number,
                                   ColumnList& columns);

}  // namespace sequela
