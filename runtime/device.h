// Where a rank keeps its tensors and runs its kernels: the CPU, or one GPU. Everything above speaks
// to this class, so that the same training code runs on both, and on the interpreted GPU of the
// tests (tests/testing/interpreted_device.h).
//
// Order: work on one stream runs in the order in which it was enqueued. The compute stream carries
// kernels and Copy; the side stream carries what should overlap with them (the next batch's upload,
// a checkpoint's snapshot). Only an Event orders two streams. On the CPU everything has happened
// when the call returns, and events are always done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/exec.h"

namespace sequela {

class Event;

// One thread at a time (the training thread), except waiting for events and copying on the CPU.
class Device {
 public:
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  virtual Backend backend() const = 0;
  bool is_host() const { return backend() == Backend::kCpu; }
  // For people: "CPU", "GPU 0 (NVIDIA H100 80GB HBM3)".
  virtual const std::string& name() const = 0;
  // Of a GPU among those that the process sees.
  virtual int index() const { return 0; }

  // Memory of tensors: 256-byte aligned (on the CPU to a page, from 2 MiB on to 2 MiB with advice
  // for huge pages), zeros. Throws MachineError that says size, what is free and what would help.
  // The host may read and write it on the CPU alone. REQUIRES: size_bytes > 0.
  virtual std::byte* Allocate(std::int64_t size_bytes) = 0;
  // Waits for what may still use it. `size_bytes` as it was allocated.
  virtual void Free(std::byte* memory, std::int64_t size_bytes) noexcept = 0;
  // Host memory, zeros, that copies reach without waiting; on the CPU plain memory.
  virtual std::byte* AllocatePinned(std::int64_t size_bytes) = 0;
  virtual void FreePinned(std::byte* memory, std::int64_t size_bytes) noexcept = 0;

  // Copies on the compute stream, in any direction between host and device. Asynchronous where the
  // host's side is pinned; otherwise the call returns once the host's side may be used again.
  virtual void Copy(void* to, const void* from, std::int64_t bytes) = 0;
  // The same on the side stream. REQUIRES: the host's side is pinned.
  virtual void CopyOnSideStream(void* to, const void* from, std::int64_t bytes) = 0;
  // Zero bytes, on the compute stream.
  virtual void Zero(void* memory, std::int64_t bytes) = 0;
  // Waits on the host for everything that was enqueued on either stream. Throws MachineError where
  // a kernel failed.
  virtual void Synchronize() = 0;

  // For Exec::stream and Event; null on the CPU.
  virtual void* compute_stream() const = 0;
  virtual void* side_stream() const = 0;

  // The theoretical peak of matrix products, in FLOP/s, from the device's properties
  // (runtime/peak_rate.h); NaN where they do not say it, as on the CPU.
  virtual double peak_matrix_rate(DType /*dtype*/) const {
    return std::numeric_limits<double>::quiet_NaN();
  }

  virtual std::int64_t total_bytes() const = 0;
  virtual std::int64_t free_bytes() const = 0;

 protected:
  Device() = default;

 private:
  friend class Event;
  // Events as the device knows them.
  virtual void* CreateEvent() = 0;
  virtual void DestroyEvent(void* event) noexcept = 0;
  virtual void RecordEvent(void* event, void* stream) = 0;
  virtual void StreamWaitEvent(void* event, void* stream) = 0;
  virtual bool EventDone(void* event) = 0;
  virtual void WaitEvent(void* event) = 0;
};

// A point in a stream's work. Done until it is recorded for the first time; a new Record replaces
// the point before. Movable. `device` is borrowed.
class Event {
 public:
  explicit Event(Device& device) : device_(&device), event_(device.CreateEvent()) {}
  ~Event() {
    if (device_ != nullptr) device_->DestroyEvent(event_);
  }
  Event(Event&& other) noexcept : device_(other.device_), event_(other.event_) {
    other.device_ = nullptr;
  }
  Event& operator=(Event&&) = delete;

  // Everything that was enqueued on the stream so far.
  void Record(void* stream) { device_->RecordEvent(event_, stream); }
  // What is enqueued on `stream` from now on starts after the point. The host does not wait.
  void MakeWait(void* stream) const { device_->StreamWaitEvent(event_, stream); }
  // These two from any thread, also while the training thread enqueues work.
  bool Done() const { return device_->EventDone(event_); }
  void Wait() const { device_->WaitEvent(event_); }

 private:
  Device* device_;
  void* event_;
};

// How operations run on the device; the caller adds the workspace.
inline Exec ExecOn(const Device& device, int num_threads = 1) {
  return {
      .backend = device.backend(), .num_threads = num_threads, .stream = device.compute_stream()};
}

// The CPU. Lives as long as the program; safe for concurrent use.
Device& HostDevice();

// The memory that an allocation of this size takes on the CPU once all of it was touched, where the
// machine gives huge pages.
std::int64_t HostFootprintBytes(std::int64_t size_bytes);

// The GPU of this index among those that the process sees, which becomes the calling thread's. Throws InputError in one line that says what is missing: CUDA in
// this build, a driver, a GPU, one of this index, or one new enough (compute capability 8.0).
std::unique_ptr<Device> MakeCudaDevice(int index);

// GPUs that this process sees; 0 without CUDA or driver.
int NumCudaDevices();
// Their ids, by index: the same for every process that sees the GPU.
std::vector<std::string> CudaDeviceIds();
// Whether this build has the CUDA backend.
bool CudaInBuild();

}  // namespace sequela
