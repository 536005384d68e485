// Which backend a test of an operation runs on. A test program marked `cuda` in its first line is
// run up to three times by ctest, told by SEQUELA_TEST_BACKEND:
//   cpu   (default)
//   ptx   the CUDA backend, its kernels interpreted on the CPU (tests/ptx/); ptx_hopper: the
//         kernels for sm_90a where there are any
//   gpu   the CUDA backend on a GPU; without a driver every test is reported as skipped;
//         gpu_ampere: without the kernels for sm_90a
// Memory that an operation reads or writes comes from here, so that one test text serves all three:
// at the same address for host and device in every backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/exec.h"

namespace sequela::testing {

enum class TestBackend { kCpu, kPtx, kGpu };
TestBackend ChosenBackend();
inline bool OnCuda() { return ChosenBackend() != TestBackend::kCpu; }
inline bool OnPtx() { return ChosenBackend() == TestBackend::kPtx; }

// An Exec of the chosen backend.
Exec TestExec(int num_threads = 1, std::span<std::byte> workspace = {});
// Waits for the device. Before the host reads what an operation wrote.
void Synchronize();

// 256-byte aligned. Throws where there is no memory.
void* AllocateShared(std::size_t bytes);
void FreeShared(void* memory);

template <typename T>
struct SharedAllocator {
  using value_type = T;
  SharedAllocator() = default;
  template <typename U>
  SharedAllocator(const SharedAllocator<U>&) {}
  T* allocate(std::size_t count) { return static_cast<T*>(AllocateShared(count * sizeof(T))); }
  void deallocate(T* memory, std::size_t) { FreeShared(memory); }
  template <typename U>
  bool operator==(const SharedAllocator<U>&) const {
    return true;
  }
};
template <typename T>
using SharedVector = std::vector<T, SharedAllocator<T>>;
template <typename T>
SharedVector<T> Shared(const std::vector<T>& values) {
  return SharedVector<T>(values.begin(), values.end());
}

}  // namespace sequela::testing
