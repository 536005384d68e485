// A mapping and its tables for `ingest-csv`, written by a test, and the MEDS dataset made of them.
#pragma once

#include <string>
#include <vector>

#include "dataio/ingest/ingest_csv.h"
#include "tests/testing/temp_folder.h"

namespace sequela::testing {

class CsvDataset {
 public:
  CsvDataset& Table(const std::string& name, const std::string& text);
  // `mapping`: what follows the dataset's name and the folder. Leaves the output in meds().
  IngestCsvReport Ingest(const std::string& mapping, std::int64_t memory_bytes = 64 << 20);
  // The message with which that is refused; "accepted" where it is not.
  std::string Refusal(const std::string& mapping);
  // Of the dataset: "subject time code value text", sorted; times and values as they print, and
  // "-" for what is not there.
  std::vector<std::string> Rows() const;
  std::filesystem::path folder() const { return folder_.path(); }
  std::filesystem::path meds() const { return folder_ / "meds"; }

 private:
  TempFolder folder_;
};

}  // namespace sequela::testing
