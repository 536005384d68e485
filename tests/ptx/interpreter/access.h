// Every access of a thread to memory goes through here: where it lies, whether it may be.
#pragma once

#include "tests/ptx/interpreter/machine.h"

namespace sequela::ptx {

enum class Intent : std::uint8_t { kRead, kWrite, kAtomic };

// The place in the host's memory of `bytes` at `address` of `space`, for the thread. Faults where
// it lies outside every allocation, is not aligned to `bytes`, may not be written, was never
// written (kRead, kAtomic), or races. What is to be written counts as written. `lane` is the
// thread, and `as` who is said to have touched it (kAllLanes: the warp together).
std::byte* Access(Warp& warp, std::uint32_t lane, Space space, std::uint64_t address,
                  std::size_t bytes, Intent intent, std::uint32_t as);

// The same for a store of `value`: two threads of one instruction may store the same.
void Store(Warp& warp, std::uint32_t lane, std::uint32_t mask, Space space, std::uint64_t address,
           std::size_t bytes, const std::byte* value);

// The address that the thread gives in src[which].
inline std::uint64_t AddressOf(Warp& warp, const Instruction& in, std::uint32_t lane,
                               std::size_t which = 0) {
  const std::uint64_t base = in.form2 == 4 ? warp.Lanes<std::uint32_t>(in.src[which])[lane]
                                           : warp.Lanes<std::uint64_t>(in.src[which])[lane];
  return base + static_cast<std::uint64_t>(in.immediate);
}

// Bytes that a cp.async will write may not be read until it has landed.
void Poison(Warp& warp, std::uint64_t shared_address, std::size_t bytes);

// Counts the wavefronts of a warp's access of `bytes` a thread to shared memory at `addresses`.
void CountBanks(KernelCounts& counts, const std::array<std::uint64_t, kLanes>& addresses,
                std::uint32_t mask, std::size_t bytes);

}  // namespace sequela::ptx
