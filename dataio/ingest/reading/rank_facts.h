// What a rank learns from the rows that it reads, told to the others and put together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataio/base/string_pool.h"
#include "dataio/ingest/reading/counts.h"
#include "dataio/ingest/reading/read_events.h"

namespace sequela {

// A row group of a file.
struct ReadTask {
  std::uint32_t file;
  int row_group;
};

// Where a row group begins and ends, to see whether time goes on across row groups.
struct RowGroupEnds {
  bool empty = true;
  std::int64_t first_subject = 0, first_time = 0, last_subject = 0, last_time = 0;
};

// A rank's strings in sorted order with its numbers, as told to the others.
struct RankStrings {
  std::vector<std::string> sorted;
  std::vector<std::uint32_t> rank_of;
};

struct RankFacts {
  Findings findings;
  RankStrings codes;
  RankStrings texts;
  std::vector<std::int64_t> timed;  // by this rank's number
  std::vector<std::int64_t> midnight;
  std::vector<std::string> plain_codes;  // likewise; empty where nothing is joined to the code
  std::vector<std::int64_t> excluded;
  std::vector<RowGroupEnds> ends;  // of all tasks; those of other ranks empty
};

// Of the plain codes that are joined to one and the same code (with other parts), the first in order
// counts, whoever reads which row.
void AddPlainCode(std::string& known, const std::string& code);

std::string Pack(const RankFacts& facts);
// All ranks' facts, by rank, as Pack gave them.
ReadResult Combine(const std::vector<std::string>& packed, const std::vector<ReadTask>& tasks);

}  // namespace sequela
