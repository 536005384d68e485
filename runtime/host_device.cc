// The CPU as a device: memory is mapped, copies are copied at once, streams are null.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"
#include "runtime/device.h"

namespace sequela {
namespace {

constexpr std::int64_t kHugePageBytes = std::int64_t{2} << 20;

std::int64_t PagesBytes(int name) {
  return static_cast<std::int64_t>(::sysconf(name)) * ::sysconf(_SC_PAGESIZE);
}

void Unmap(std::byte* begin, std::byte* end) {
  if (end > begin) ::munmap(begin, static_cast<std::size_t>(end - begin));
}

class CpuDevice final : public Device {
 public:
  Backend backend() const override { return Backend::kCpu; }
  const std::string& name() const override { return name_; }

  std::byte* Allocate(std::int64_t size_bytes) override {
    SEQUELA_CHECK(size_bytes > 0, "{}", size_bytes);
    const bool huge = size_bytes >= kHugePageBytes;
    const std::int64_t footprint = HostFootprintBytes(size_bytes);
    // A mapping is page-aligned and zero; large ones get slack, given back at once, so that they
    // can begin at a huge page.
    const std::int64_t mapped = footprint + (huge ? kHugePageBytes : 0);
    void* memory = ::mmap(nullptr, static_cast<std::size_t>(mapped), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      throw MachineError("cannot allocate {} bytes of memory: {}", size_bytes,
                         std::generic_category().message(errno));
    }
    auto* const begin = static_cast<std::byte*>(memory);
    if (!huge) return begin;
    const auto address = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(memory));
    std::byte* const data = begin + (RoundUp(address, kHugePageBytes) - address);
    Unmap(begin, data);
    Unmap(data + footprint, begin + mapped);
    // Advice only: where it is refused the memory works all the same.
    ::madvise(data, static_cast<std::size_t>(footprint), MADV_HUGEPAGE);
    return data;
  }
  void Free(std::byte* memory, std::int64_t size_bytes) noexcept override {
    ::munmap(memory, static_cast<std::size_t>(HostFootprintBytes(size_bytes)));
  }
  std::byte* AllocatePinned(std::int64_t size_bytes) override { return Allocate(size_bytes); }
  void FreePinned(std::byte* memory, std::int64_t size_bytes) noexcept override {
    Free(memory, size_bytes);
  }

  void Copy(void* to, const void* from, std::int64_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
  void CopyOnSideStream(void* to, const void* from, std::int64_t bytes) override {
    Copy(to, from, bytes);
  }
  void Zero(void* memory, std::int64_t bytes) override {
    if (bytes > 0) std::memset(memory, 0, static_cast<std::size_t>(bytes));
  }
  void Synchronize() override {}
  void* compute_stream() const override { return nullptr; }
  void* side_stream() const override { return nullptr; }
  std::int64_t total_bytes() const override { return PagesBytes(_SC_PHYS_PAGES); }
  std::int64_t free_bytes() const override { return PagesBytes(_SC_AVPHYS_PAGES); }

 private:
  void* CreateEvent() override { return nullptr; }
  void DestroyEvent(void*) noexcept override {}
  void RecordEvent(void*, void*) override {}
  void StreamWaitEvent(void*, void*) override {}
  bool EventDone(void*) override { return true; }
  void WaitEvent(void*) override {}

  std::string name_ = "CPU";
};

}  // namespace

Device& HostDevice() {
  static CpuDevice device;
  return device;
}

std::int64_t HostFootprintBytes(std::int64_t size_bytes) {
  return size_bytes < kHugePageBytes ? size_bytes : RoundUp(size_bytes, kHugePageBytes);
}

}  // namespace sequela
