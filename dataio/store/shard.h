// One opened shard of a chain store: plain pointers to its datasets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "dataio/base/mapped_file.h"
#include "dataio/store/manifest.h"
#include "dataio/store/store_types.h"

namespace sequela {

class Hdf5Reader;

// Safe for concurrent reads. Spans are valid as long as the shard, also after a move.
class Shard {
 public:
  enum class Access : std::uint8_t { kMapWherePossible, kReadIntoMemory };

  // Checks the file against the manifest: size, format, version, types, counts, checksums as
  // recorded (not as computed), offsets, splits. Throws InputError.
  Shard(const std::filesystem::path& folder, const Manifest& manifest, std::size_t index,
        Access access = Access::kMapWherePossible);

  const std::filesystem::path& file() const { return file_; }
  bool tokens_are_16_bits() const { return tokens_are_16_bits_; }
  std::span<const std::uint16_t> tokens16() const { return Column<std::uint16_t>(0); }
  std::span<const std::uint32_t> tokens32() const { return Column<std::uint32_t>(0); }
  std::span<const std::int64_t> time_us() const { return Column<std::int64_t>(1); }
  std::span<const std::uint32_t> code() const { return Column<std::uint32_t>(2); }
  std::span<const float> value() const { return Column<float>(3); }
  std::span<const std::int64_t> subject_id() const { return Column<std::int64_t>(4); }
  std::span<const std::uint64_t> subject_offset() const { return Column<std::uint64_t>(5); }
  std::span<const std::uint8_t> subject_split() const { return Column<std::uint8_t>(6); }
  // Empty where the shard has none.
  std::span<const std::int64_t> stay() const { return Column<std::int64_t>(7); }
  const ShardExtras& extras() const { return extras_; }
  std::span<const std::uint64_t> text_offset() const { return Column<std::uint64_t>(8); }
  std::string_view text_bytes() const {
    return {reinterpret_cast<const char*>(columns_[9].data()), columns_[9].size()};
  }
  // The bytes of dataset `kDatasetPaths[index]`.
  std::span<const std::byte> Bytes(std::size_t index) const { return columns_[index]; }

 private:
  template <typename T>
  std::span<const T> Column(std::size_t index) const {
    return {reinterpret_cast<const T*>(columns_[index].data()), columns_[index].size() / sizeof(T)};
  }
  void OpenColumn(const Hdf5Reader& reader, const ShardSummary& summary, std::size_t column);
  void CheckSubjects(std::int64_t tokens) const;

  std::filesystem::path file_;
  bool tokens_are_16_bits_ = true;
  ShardExtras extras_;
  MappedFile mapping_;
  std::vector<std::vector<std::byte>> owned_;  // columns that could not be mapped
  std::array<std::span<const std::byte>, kDatasetPaths.size()> columns_;
};

}  // namespace sequela
