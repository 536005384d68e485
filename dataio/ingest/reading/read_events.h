// The first pass: Parquet rows into partitions of raw events.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "dataio/ingest/ranks.h"
#include "dataio/ingest/reading/counts.h"
#include "dataio/ingest/reading/partition_files.h"
#include "dataio/ingest/reading/source_files.h"
#include "dataio/meds/event_file.h"

namespace sequela {

struct ReadOptions {
  int workers = 1;
  std::int64_t memory_bytes = 0;
  bool text_results = true;  // short texts become results
  int text_max_bytes = 32;
  bool keep_text = false;                                      // texts are kept as they are written
  const std::unordered_set<std::int64_t>* excluded = nullptr;  // may be null
  std::function<void(std::int64_t rows_done)> progress;        // from any thread; may be empty
};

// What all ranks know after reading.
struct ReadResult {
  Findings findings;
  std::vector<std::string> codes;  // sorted bytewise
  std::vector<std::string> texts;  // likewise; trimmed, lower case
  // For each rank: the place in `codes` (`texts`) of each number in its raw events.
  std::vector<std::vector<std::uint32_t>> code_rank;
  std::vector<std::vector<std::uint32_t>> text_rank;
  // [codes] timed events, and those of them on 00:00:00.
  std::vector<std::int64_t> timed_events;
  std::vector<std::int64_t> midnight_events;
  // [codes] the rows' own code where others columns are joined to it; empty for codes as they are.
  std::vector<std::string> plain_codes;
  // Columns that exist in some file and were not read, by name.
  std::vector<std::string> unused_columns;
};

// Rows of all files, from the footers. Throws InputError for files that cannot be opened.
std::int64_t CountRows(const SourceDataset& source, const EventColumns& columns);

ReadResult ReadEvents(const SourceDataset& source, const EventColumns& columns,
                      const ReadOptions& options, const Ranks& ranks, PartitionFiles& partitions);

}  // namespace sequela
