// What is known of a shard beside its bytes: plain data that the writer fills, manifest.json holds
// and readers check a file against.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sequela {

// What a shard holds beside its chains.
struct ShardExtras {
  bool stays = false;           // /chain/stay
  bool texts = false;           // /text/offset and /text/bytes
  std::int64_t events = 0;      // with texts: tokens with a code
  std::int64_t text_bytes = 0;  // with texts: their bytes together
};

struct ShardCounts {
  std::int64_t subjects = 0;
  std::int64_t tokens = 0;
};

// What manifest.json says of a shard.
struct ShardSummary {
  std::string file_name;
  ShardCounts counts;
  std::array<ShardCounts, 3> by_split;  // indexed by Split
  ShardExtras extras;
  std::uint64_t file_bytes = 0;
  std::uint32_t file_crc32c = 0;
  std::vector<std::pair<std::string, std::uint32_t>> crcs;  // dataset path, CRC-32C
  // Where the /chain and /text datasets lie in the file (offset, bytes; none for empty ones), and
  // the CRC-32C of all other bytes: so that a reader knows the file's structure is whole before
  // it trusts it.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> chain_extents;
  std::uint32_t structure_crc32c = 0;
};

std::string ShardFileName(int index, int count);  // "shard-00000-of-00004.h5"

// A summary as text and back, to carry it from one process to another. Parsing throws InputError.
std::string ToJson(const ShardSummary& summary);
ShardSummary ShardSummaryFromJson(std::string_view json);

}  // namespace sequela
