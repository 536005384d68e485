#include "tests/testing/interpreted_device.h"

#include <cstring>
#include <map>
#include <string>

#include "kernels/base/check.h"
#include "tests/testing/test_backend.h"

namespace sequela::testing {
namespace {

class InterpretedDevice final : public Device {
 public:
  ~InterpretedDevice() override {
    for (const auto& [memory, size_bytes] : allocations_) FreeShared(memory);
  }

  Backend backend() const override { return Backend::kCuda; }
  const std::string& name() const override { return name_; }

  std::byte* Allocate(std::int64_t size_bytes) override {
    SEQUELA_CHECK(size_bytes > 0, "{}", size_bytes);
    auto* const memory =
        static_cast<std::byte*>(AllocateShared(static_cast<std::size_t>(size_bytes)));
    allocations_[memory] = size_bytes;
    std::memset(memory, 0, static_cast<std::size_t>(size_bytes));
    return memory;
  }
  void Free(std::byte* memory, std::int64_t size_bytes) noexcept override {
    const auto found = allocations_.find(memory);
    if (found == allocations_.end() || found->second != size_bytes) std::abort();
    allocations_.erase(found);
    FreeShared(memory);
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
  std::int64_t total_bytes() const override { return HostDevice().total_bytes(); }
  std::int64_t free_bytes() const override { return HostDevice().free_bytes(); }

 private:
  void* CreateEvent() override { return nullptr; }
  void DestroyEvent(void*) noexcept override {}
  void RecordEvent(void*, void*) override {}
  void StreamWaitEvent(void*, void*) override {}
  bool EventDone(void*) override { return true; }
  void WaitEvent(void*) override {}

  std::string name_ = "an interpreted GPU";
  std::map<void*, std::int64_t> allocations_;
};

}  // namespace

std::unique_ptr<Device> MakeInterpretedDevice() { return std::make_unique<InterpretedDevice>(); }

Device& TestDevice() {
  if (ChosenBackend() == TestBackend::kCpu) return HostDevice();
  static const std::unique_ptr<Device> device =
      ChosenBackend() == TestBackend::kPtx ? MakeInterpretedDevice() : MakeCudaDevice(0);
  return *device;
}

}  // namespace sequela::testing
