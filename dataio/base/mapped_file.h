// A file mapped for reading, whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

namespace sequela {

// Safe for concurrent reads. Its pages are read from the disk when first touched; a file that
// another program cuts short afterwards ends the process (SIGBUS).
class MappedFile {
 public:
  MappedFile() = default;
  // Maps nothing where mapping is impossible (data() is null then). Throws InputError where the
  // file cannot be opened.
  explicit MappedFile(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::byte* data() const { return data_; }
  std::uint64_t size() const { return size_; }

 private:
  const std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
};

// CRC-32C of a file's bytes. Throws InputError where it cannot be read.
std::uint32_t FileCrc32c(const std::filesystem::path& file);

// CRC-32C of the bytes outside of these extents (offset, bytes). REQUIRES: they ascend, do not
// overlap and lie within the file.
std::uint32_t FileCrc32cOutside(
    const std::filesystem::path& file,
    const std::vector<std::pair<std::uint64_t, std::uint64_t>>& extents);

}  // namespace sequela
