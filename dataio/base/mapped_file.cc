#include "dataio/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "kernels/base/crc32c.h"
#include "kernels/base/errors.h"

namespace sequela {

MappedFile::MappedFile(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    throw InputError("{}: cannot be opened: {}", file.string(),
                     std::generic_category().message(errno));
  }
  struct stat facts {};
  if (::fstat(fd, &facts) == 0 && facts.st_size > 0) {
    size_ = static_cast<std::uint64_t>(facts.st_size);
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) data_ = static_cast<const std::byte*>(mapped);
  }
  ::close(fd);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

std::uint32_t FileCrc32c(const std::filesystem::path& file) { return FileCrc32cOutside(file, {}); }

std::uint32_t FileCrc32cOutside(
    const std::filesystem::path& file,
    const std::vector<std::pair<std::uint64_t, std::uint64_t>>& extents) {
  std::error_code error;
  const std::uint64_t size = std::filesystem::file_size(file, error);
  std::ifstream stream(file, std::ios::binary);
  std::vector<char> buffer(std::min<std::uint64_t>(size, std::uint64_t{1} << 20));
  std::uint32_t crc = 0;
  const auto add = [&](std::uint64_t begin, std::uint64_t end) {
    stream.seekg(static_cast<std::streamoff>(begin));
    while (begin < end && stream) {
      const std::uint64_t count = std::min<std::uint64_t>(buffer.size(), end - begin);
      stream.read(buffer.data(), static_cast<std::streamsize>(count));
      crc = ExtendCrc32c(crc, buffer.data(), static_cast<std::size_t>(stream.gcount()));
      begin += count;
    }
  };
  std::uint64_t begin = 0;
  for (const auto& [offset, bytes] : extents) {
    add(begin, offset);
    begin = offset + bytes;
  }
  add(begin, size);
  if (error || !stream) throw InputError("{}: cannot be read", file.string());
  return crc;
}

}  // namespace sequela
