#include "runtime/buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <system_error>

#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

constexpr std::int64_t kHugePageBytes = std::int64_t{2} << 20;

}  // namespace

Buffer::Buffer(std::int64_t size_bytes, bool huge_pages) : size_bytes_(size_bytes) {
  SEQUELA_CHECK(size_bytes >= 0, "{}", size_bytes);
  if (size_bytes == 0) return;
  // A mapping is page-aligned and zero; large ones get slack so that they can begin at a huge page.
  const bool huge = huge_pages && size_bytes >= kHugePageBytes;
  mapped_bytes_ = huge ? RoundUp(size_bytes, kHugePageBytes) + kHugePageBytes : size_bytes;
  void* memory = ::mmap(nullptr, static_cast<std::size_t>(mapped_bytes_), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw MachineError("cannot allocate {} bytes of memory: {}", size_bytes,
                       std::generic_category().message(errno));
  }
  mapping_ = memory;
  data_ = static_cast<std::byte*>(memory);
  if (huge) {
    const auto address = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(memory));
    data_ += RoundUp(address, kHugePageBytes) - address;
    // Advice only: where it is refused the memory works all the same.
    ::madvise(data_, static_cast<std::size_t>(RoundUp(size_bytes, kHugePageBytes)), MADV_HUGEPAGE);
  }
}

std::int64_t Buffer::FootprintBytes(std::int64_t size_bytes) {
  return size_bytes < kHugePageBytes ? size_bytes : RoundUp(size_bytes, kHugePageBytes);
}

Buffer::~Buffer() {
  if (mapping_ != nullptr) ::munmap(mapping_, static_cast<std::size_t>(mapped_bytes_));
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(mapping_, other.mapping_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

}  // namespace sequela
