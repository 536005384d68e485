// What a MEDS dataset holds, before anything is built from it: the work of `sequela describe`.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace sequela {

struct DatasetDescription {
  struct Part {  // a split, by folder or subject_splits.parquet, else by hash
    std::int64_t subjects = 0;
    std::int64_t events = 0;
    std::int64_t static_events = 0;  // without a time
    std::int64_t with_value = 0;     // a numeric value
    std::int64_t text_only = 0;      // a text and no numeric value
    std::int64_t time_stamps = 0;    // distinct, of one subject each
    std::int64_t births = 0;
    std::int64_t deaths = 0;
    std::int64_t codes = 0;  // distinct
  };
  std::array<Part, 3> parts;
  std::int64_t files = 0;
  std::int64_t codes = 0;
  std::int64_t codes_once = 0;                                  // seen a single time
  std::vector<std::pair<std::string, std::int64_t>> commonest;  // up to 10 codes
  // Seconds between a subject's time stamps: deciles 0, 0.1, ..., 1 (three significant digits).
  std::vector<double> gap_deciles;
  std::array<std::int64_t, 5> events_per_subject{};  // minimum, quartiles, maximum
  std::vector<std::string> unused_columns;
  std::int64_t split_by_hash = 0;    // subjects of which nothing says the split
  std::vector<std::string> skipped;  // below data/ and not read: "path: reason"
};

// `source` as for Ingest, which refuses the same files. Rows of a subject that are not together count as several stretches.
// Memory: a few bytes a subject and a code. Throws InputError.
DatasetDescription DescribeDataset(const std::filesystem::path& source);

}  // namespace sequela
