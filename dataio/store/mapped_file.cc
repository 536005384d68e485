#include "dataio/store/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

std::uint32_t FileCrc32c(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::vector<char> buffer(std::size_t{1} << 20);
  std::uint32_t crc = 0;
  while (stream) {
    stream.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    crc = ExtendCrc32c(crc, buffer.data(), static_cast<std::size_t>(stream.gcount()));
  }
  if (!stream.eof()) throw InputError("{}: cannot be read", file.string());
  return crc;
}

}  // namespace sequela
