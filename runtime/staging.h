// What the host prepares for the device: the next batch is copied while the step before it
// computes. A slot is a block of pinned host memory and a block of the device of the same size; two
// of them take turns. On the CPU the two blocks of a slot are one, and nothing is copied.
//
//   std::span<std::byte> host = staging.Begin(slot);  // write the batch of the next step
//   staging.Upload(slot, bytes_written);              // leaves while kernels run
//   const std::byte* device = staging.Ready(slot);    // at the step's start
//   ... operations that read `device` ...
//   staging.Release(slot);                            // after the last of them was enqueued
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/buffer.h"
#include "runtime/device.h"

namespace sequela {

// One thread at a time: the training thread.
class Staging {
 public:
  static constexpr int kSlots = 2;

  // Both slots of `capacity_bytes`. `device` is borrowed. Throws MachineError where there is no
  // memory.
  Staging(Device& device, std::int64_t capacity_bytes);

  // The host's block of a slot, 256-byte aligned, to be written; what stood in it was uploaded (the
  // host waits for that where it must) and on the CPU released.
  std::span<std::byte> Begin(int slot);
  // Copies the first `bytes` of it on the side stream, after the operations that read the slot
  // before. The host does not wait, and leaves the block alone until the next Begin.
  void Upload(int slot, std::int64_t bytes);
  // The device's block; what the host wrote stands there once Ready was called.
  std::byte* DeviceBlock(int slot);
  // The device's block, at which operations enqueued from now on find what was uploaded.
  std::byte* Ready(int slot);
  // The last operation that reads the block was enqueued.
  void Release(int slot);

  std::int64_t capacity_bytes() const { return slots_[0].host.size_bytes(); }

 private:
  struct Slot {
    Slot(Device& device, std::int64_t capacity_bytes);
    Buffer host;    // pinned
    Buffer device;  // empty on the CPU
    Event uploaded;
    Event released;
  };
  Slot& At(int slot) { return slots_.at(static_cast<std::size_t>(slot)); }

  Device& device_;
  std::array<Slot, kSlots> slots_;
};

}  // namespace sequela
