// Event tables to a MEDS dataset: the work of `sequela ingest-csv`. Rows go through partitions of
// subjects on the disk, so that memory is bounded whatever the size of the tables.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dataio/ingest/csv_mapping.h"

namespace sequela {

struct IngestCsvOptions {
  CsvMapping mapping;
  std::filesystem::path out;
  std::int64_t memory_bytes = 1LL << 30;
  // For the log, a sentence at a time (an interrupted work that is taken over); may be empty.
  std::function<void(const std::string&)> note = {};
};

struct IngestCsvReport {
  struct Table {
    std::string file;
    std::int64_t rows = 0;
    std::int64_t events = 0;
    std::int64_t skipped = 0;  // events that the mapping does not want of a row
    LossCounts lost;           // rows (no_subject, unknown_key) and events, by reason
  };
  std::vector<Table> tables;
  std::array<std::int64_t, 3> subjects{};  // by split
  std::array<std::int64_t, 3> events{};
  std::int64_t extra_deaths = 0;  // earlier deaths of one subject, dropped
  std::int64_t num_codes = 0;
  double seconds = 0.0;
};

// Throws InputError naming table, row and column; MachineError. Nothing is left under `out`, then.
IngestCsvReport IngestCsv(const IngestCsvOptions& options);

}  // namespace sequela
