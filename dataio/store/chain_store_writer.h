// Writing a chain store (dataio/CHAIN_FORMAT.md). The whole folder appears under its final name at
// once, or not at all (kernels/base/atomic_file.h).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataio/store/chain_store.h"
#include "dataio/store/store_types.h"
#include "dataio/store/vocabulary.h"

namespace sequela {

// Subjects of one shard, in the order in which they are appended. Counts are declared up front, so
// that every dataset is contiguous and unfiltered. One thread at a time; several writers (threads
// or processes) may write different shards of one folder at once.
class ChainShardWriter {
 public:
  // Creates `file`. Tokens are u16 where vocabulary_size <= 65,536, else u32. Throws MachineError.
  ChainShardWriter(std::filesystem::path file, ShardCounts counts, std::int32_t vocabulary_size,
                   std::string vocabulary_hash, ShardExtras extras = {});
  ~ChainShardWriter();
  ChainShardWriter(const ChainShardWriter&) = delete;
  ChainShardWriter& operator=(const ChainShardWriter&) = delete;

  // All spans have one length, but `stay`, which is empty in a shard without stays. Buffers
  // internally; the spans may be reused at once.
  void Append(std::int64_t subject_id, Split split, std::span<const std::uint32_t> token,
              std::span<const std::int64_t> time_us, std::span<const std::uint32_t> code,
              std::span<const float> value, std::span<const std::int64_t> stay = {});
  // With texts: the text of the next event, in the order of all chains' events; empty for none.
  void AppendText(std::string_view text);

  // REQUIRES: exactly the declared counts were appended. Closes and syncs the file.
  ShardSummary Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What a store says beside its shards. The texts are JSON objects, put under the names of the
// manifest that are given here.
struct StoreMetadata {
  const Vocabulary& vocabulary;
  std::vector<CodeEntry> codes;
  std::vector<ShardSummary> shards;
  std::string settings_json;    // "tokenization"
  std::string source_json;      // "source"
  std::string simulation_json;  // "simulation"; empty: absent
};

// manifest.json, codes.json and vocabulary.json into `folder` (a PartialFolder's).
void WriteStoreMetadata(const std::filesystem::path& folder, const StoreMetadata& metadata);

}  // namespace sequela
