#include "dataio/store/shard.h"

#include <fmt/format.h>

#include <bit>

#include "dataio/store/hdf5/hdf5_file.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

static_assert(std::endian::native == std::endian::little, "datasets are mapped as they lie");

struct Expected {
  ElementType type;
  std::int64_t count;
};

Expected ExpectedOf(std::size_t column, const ShardSummary& summary, bool is_16_bits) {
  const ShardCounts& counts = summary.counts;
  switch (column) {
    case 0:
      return {is_16_bits ? ElementType::kU16 : ElementType::kU32, counts.tokens};
    case 1:
      return {ElementType::kI64, counts.tokens};
    case 2:
      return {ElementType::kU32, counts.tokens};
    case 3:
      return {ElementType::kF32, counts.tokens};
    case 4:
      return {ElementType::kI64, counts.subjects};
    case 5:
      return {ElementType::kU64, counts.subjects + 1};
    case 6:
      return {ElementType::kU8, counts.subjects};
    case 7:
      return {ElementType::kI64, counts.tokens};
    case 8:
      return {ElementType::kU64, summary.extras.events + 1};
    default:
      return {ElementType::kU8, summary.extras.text_bytes};
  }
}

void CheckSize(const std::filesystem::path& file, std::uint64_t expected) {
  std::error_code error;
  const std::uint64_t found = std::filesystem::file_size(file, error);
  if (error) {
    throw InputError("{}: {}, expected this shard of the store. Copy the whole folder again.",
                     file.string(), error.message());
  }
  if (found != expected) {
    throw InputError(
        "{}: found {} bytes, expected {} (manifest.json). The file is damaged or cut "
        "short: copy it again, or ingest again.",
        file.string(), found, expected);
  }
}

// Before the HDF5 library sees the file: damaged structure can make it fail in any way.
void CheckStructure(const std::filesystem::path& file, const ShardSummary& summary) {
  const std::uint32_t found = FileCrc32cOutside(file, summary.chain_extents);
  if (found != summary.structure_crc32c) {
    throw InputError(
        "{}: found CRC-32C {:08x} outside of the /chain and /text datasets, expected {:08x} "
        "(manifest.json). The file is damaged or belongs to another store: copy it "
        "again, or ingest again.",
        file.string(), found, summary.structure_crc32c);
  }
}

void CheckAttributes(const std::filesystem::path& file, const Hdf5Reader& reader,
                     const Manifest& manifest) {
  const auto check = [&](const char* name, const std::string& expected) {
    const std::string found = reader.StringAttribute("/", name);
    if (found != expected) {
      throw InputError(
          "{}: attribute {}: found \"{}\", expected \"{}\" (manifest.json). The shard "
          "belongs to another store.",
          file.string(), name, found, expected);
    }
  };
  check("format", std::string(kStoreFormat));
  const std::string version = reader.StringAttribute("/", "format_version");
  if (!version.starts_with(kStoreMajorPrefix)) {
    throw InputError(
        "{}: attribute format_version: found \"{}\", expected {}x, the only one that "
        "this program knows: use the sequela that wrote the store, or ingest again.",
        file.string(), version, kStoreMajorPrefix);
  }
  check("vocabulary_hash", manifest.vocabulary_hash);
  check("token_dtype", std::string(TokenTypeName(manifest.vocabulary_size)));
}

void CheckDataset(const std::filesystem::path& file, std::string_view path,
                  const Hdf5Reader::Dataset& found, const Expected& expected) {
  if (found.type != expected.type || found.count != expected.count) {
    throw InputError(
        "{}: {}: found {} elements of {}, expected {} of {} (manifest.json). The shard "
        "is damaged or belongs to another store.",
        file.string(), path, found.count, NameOf(found.type), expected.count,
        NameOf(expected.type));
  }
}

}  // namespace

Shard::Shard(const std::filesystem::path& folder, const Manifest& manifest, std::size_t index,
             Access access) {
  const ShardSummary& summary = manifest.shards[index];
  file_ = folder / summary.file_name;
  tokens_are_16_bits_ = TokenTypeName(manifest.vocabulary_size) == "uint16";
  extras_ = summary.extras;
  CheckSize(file_, summary.file_bytes);
  CheckStructure(file_, summary);
  const Hdf5Reader reader(file_);
  CheckAttributes(file_, reader, manifest);
  if (access == Access::kMapWherePossible) mapping_ = MappedFile(file_);
  for (std::size_t column = 0; column < kDatasetPaths.size(); ++column) {
    if (HasDataset(column, extras_)) OpenColumn(reader, summary, column);
  }
  CheckSubjects(summary.counts.tokens);
}

void Shard::OpenColumn(const Hdf5Reader& reader, const ShardSummary& summary, std::size_t column) {
  const std::string path(kDatasetPaths[column]);
  const Hdf5Reader::Dataset dataset = reader.Describe(path);
  CheckDataset(file_, path, dataset, ExpectedOf(column, summary, tokens_are_16_bits_));
  const std::uint32_t crc = reader.IntegerAttribute(path, "crc32c");
  if (crc != CrcOf(summary, column)) {
    throw InputError(
        "{}: {}: attribute crc32c: found {:08x}, expected {:08x} (manifest.json). The "
        "shard belongs to another store.",
        file_.string(), path, crc, CrcOf(summary, column));
  }
  const auto element = static_cast<std::uint64_t>(SizeOf(dataset.type));
  const std::uint64_t bytes = static_cast<std::uint64_t>(dataset.count) * element;
  if (bytes == 0) return;
  // Before memory is taken for it. The format knows no compression.
  if (bytes > summary.file_bytes) {
    throw InputError(
        "{}: {}: announces {} bytes, the file has {}. The file is damaged: copy it again, or "
        "ingest again.",
        file_.string(), path, bytes, summary.file_bytes);
  }
  if (dataset.file_offset && (*dataset.file_offset > summary.file_bytes ||
                              bytes > summary.file_bytes - *dataset.file_offset)) {
    throw InputError(
        "{}: {}: ends beyond the end of the file. The file is damaged: copy it again, "
        "or ingest again.",
        file_.string(), path);
  }
  if (mapping_.data() != nullptr && dataset.file_offset && *dataset.file_offset % element == 0) {
    columns_[column] = {mapping_.data() + *dataset.file_offset, bytes};
    return;
  }
  owned_.emplace_back(bytes);
  reader.Read(path, owned_.back().data());
  columns_[column] = owned_.back();
}

void Shard::CheckSubjects(std::int64_t tokens) const {
  const std::span<const std::uint64_t> offset = subject_offset();
  for (std::size_t i = 0; i < offset.size(); ++i) {
    const std::uint64_t lowest = i == 0 ? 0 : offset[i - 1];
    if (offset[i] < lowest || offset[i] > static_cast<std::uint64_t>(tokens) ||
        (i == 0 && offset[i] != 0)) {
      throw InputError(
          "{}: /subject/offset[{}]: found {}, expected {} to {}. The file is damaged: "
          "copy it again, or ingest again.",
          file_.string(), i, offset[i], lowest, i == 0 ? 0 : tokens);
    }
  }
  if (offset.back() != static_cast<std::uint64_t>(tokens)) {
    throw InputError("{}: /subject/offset: ends at {}, expected {}, the number of tokens",
                     file_.string(), offset.back(), tokens);
  }
  const std::span<const std::uint8_t> split = subject_split();
  for (std::size_t i = 0; i < split.size(); ++i) {
    if (split[i] > 2) {
      throw InputError(
          "{}: /subject/split[{}]: found {}, expected 0 (train), 1 (tuning) or 2 "
          "(held_out)",
          file_.string(), i, split[i]);
    }
  }
}

}  // namespace sequela
