// The last pass: chains encoded in parallel and appended to the shards in the global order of
// subjects.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "dataio/ingest/event_tokenizer.h"
#include "dataio/ingest/ranks.h"
#include "dataio/ingest/reading/partition_files.h"
#include "dataio/store/chain_store_writer.h"

namespace sequela {

struct WriteTask {
  const PartitionFiles& partitions;
  const Tokenizer& tokenizer;
  const Vocabulary& vocabulary;
  const std::filesystem::path& folder;
  std::int64_t shard_bytes;
  bool keep_stays;
  bool keep_texts;
  int workers;
  const Ranks& ranks;
  std::function<void(std::int64_t done, std::int64_t total)> progress;
};

struct StoreContent {
  std::vector<ShardSummary> shards;                       // all ranks'
  std::array<std::vector<std::int64_t>, 3> token_counts;  // by split, by token
  std::array<std::int64_t, 3> tokens{};                   // by split
  std::int64_t facts_without_token = 0;
  std::int64_t kept_texts = 0;  // events that have one
};

// Removes each partition's spill file once it is written. Throws MachineError.
StoreContent WriteShards(const WriteTask& task);

}  // namespace sequela
