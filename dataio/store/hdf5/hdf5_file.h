// HDF5 files of one-dimensional datasets: all that a chain store's shard needs of the HDF5 library.
// The only header through which the rest of dataio sees it.
//
// The library is called under one lock of ours, so that any build of it may be used from any
// thread. Plugins are never loaded. Files are opened without file locks, which some network file
// systems lack.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sequela {

enum class ElementType : std::uint8_t { kU8, kU16, kU32, kU64, kI64, kF32 };
std::int64_t SizeOf(ElementType type);
std::string_view NameOf(ElementType type);  // numpy's names: "uint8", "float32", ...

inline constexpr std::uint64_t kDatasetAlignment = 4096;

// Writes a new file: datasets contiguous, unfiltered, little-endian, aligned to kDatasetAlignment,
// nothing that depends on the time or the machine. One thread at a time. Throws MachineError.
class Hdf5Writer {
 public:
  // Creates the file with mode 0600, in place of an old one.
  explicit Hdf5Writer(std::filesystem::path file);
  ~Hdf5Writer();  // closes the file, whole or not
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  // `path` is "/group/name"; the group is made where it is missing.
  void CreateDataset(const std::string& path, ElementType type, std::int64_t count);
  // Elements [begin, begin + count) from `data`.
  void Write(const std::string& path, std::int64_t begin, const void* data, std::int64_t count);
  // `object` is a dataset, or "/" for the file. New attributes only.
  void SetAttribute(const std::string& object, const std::string& name, std::string_view value);
  void SetAttribute(const std::string& object, const std::string& name, std::uint32_t value);
  // Closes and syncs the file.
  void Close();
  const std::filesystem::path& path() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Reads a file that may be hostile. External and soft links, external storage and virtual datasets
// are refused. Throws InputError naming file and object. One thread at a time.
class Hdf5Reader {
 public:
  explicit Hdf5Reader(std::filesystem::path file);
  ~Hdf5Reader();
  Hdf5Reader(const Hdf5Reader&) = delete;
  Hdf5Reader& operator=(const Hdf5Reader&) = delete;

  struct Dataset {
    ElementType type = ElementType::kU8;
    std::int64_t count = 0;
    // Where the elements lie in the file as they are in memory; none where they do not (chunked,
    // compressed) or there are no elements.
    std::optional<std::uint64_t> file_offset;
  };
  // Throws where `path` is no one-dimensional dataset of a known little-endian type.
  Dataset Describe(const std::string& path) const;
  // All elements into `out`, of Describe(path).count elements.
  void Read(const std::string& path, void* out) const;

  std::string StringAttribute(const std::string& object, const std::string& name) const;
  std::uint32_t IntegerAttribute(const std::string& object, const std::string& name) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sequela
