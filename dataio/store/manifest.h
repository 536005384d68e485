// manifest.json: what a chain store consists of. Written last and read first.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataio/base/split.h"
#include "dataio/store/store_types.h"

namespace sequela {

inline constexpr std::string_view kStoreFormat = "sequela.chain_store";
inline constexpr std::string_view kStoreVersion = "1.2";
// The major version that this program reads: minor ones only add what an old reader may ignore.
inline constexpr std::string_view kStoreMajorPrefix = "1.";
inline constexpr std::array<std::string_view, 10> kDatasetPaths = {
    "/chain/token",    "/chain/time",    "/chain/code", "/chain/value", "/subject/id",
    "/subject/offset", "/subject/split", "/chain/stay", "/text/offset", "/text/bytes"};
// Which of them a shard with these extras has.
bool HasDataset(std::size_t dataset, const ShardExtras& extras);
// Whether a dataset grows with the tokens: its bytes are trusted after its checksum only.
inline bool IsChainDataset(std::size_t dataset) { return dataset < 4 || dataset > 6; }

struct Manifest {
  struct File {
    std::string name;
    std::uint64_t bytes = 0;
    std::uint32_t crc32c = 0;
  };
  std::int32_t vocabulary_size = 0;
  std::string vocabulary_hash;
  std::string content_hash;
  std::vector<File> files;  // the JSON files beside the manifest
  std::vector<ShardSummary> shards;
  std::string tokenization_json;
  std::string source_json;
  std::optional<std::string> simulation_json;
  bool has_digest = false;  // stores before version 1.2 have none

  ShardCounts Total() const;
  ShardCounts TotalOf(Split split) const;
  bool has_stays() const { return shards.front().extras.stays; }
  bool has_texts() const { return shards.front().extras.texts; }
};

// The checksum that a shard's summary gives for dataset `kDatasetPaths[index]`, which it has.
std::uint32_t CrcOf(const ShardSummary& summary, std::size_t index);

// "uint16" or "uint32".
std::string_view TokenTypeName(std::int32_t vocabulary_size);

// Names the content of a store by all its checksums: 16 hex digits.
std::string ContentHash(const Manifest& manifest);

// The text of a manifest with its digest, "manifest_crc32c", right: the CRC-32C of the text's bytes
// where the digest's digits are zeros. REQUIRES: the text has the key.
std::string WithDigest(std::string json);

// The same bytes for the same manifest, digest included. REQUIRES: the three JSON texts are objects.
std::string ToJson(const Manifest& manifest);

// Throws InputError where the text is no manifest of a version that this program knows, or
// contradicts itself or its digest.
Manifest ParseManifest(std::string_view json, const std::filesystem::path& file);

}  // namespace sequela
