// The one way in which a kernel is started (kernel.h says what one is). Tests put another launcher
// in place, which interprets the PTX of the same kernel on the CPU (tests/ptx/).
#pragma once

#include <cstdint>

#include "kernels/base/tensor_view.h"
#include "kernels/cuda/kernel.h"
#include "kernels/exec.h"

namespace sequela::cuda {

// Everything that a launcher needs to know. Borrowed for the call.
struct KernelLaunch {
  const char* name = nullptr;      // as in the PTX
  const void* function = nullptr;  // the host's stub of the kernel
  std::uint32_t grid[3] = {1, 1, 1};
  std::uint32_t block[3] = {1, 1, 1};
  std::uint32_t shared_bytes = 0;      // dynamic shared memory
  const void* parameters = nullptr;    // the kernel's one struct
  std::uint32_t parameters_bytes = 0;  // its size
};

// Enqueues on exec.stream and returns. A grid with a zero in it starts nothing. Throws
// MachineError naming the kernel where the driver refuses.
void LaunchKernel(const Exec& exec, const KernelLaunch& launch);

// Whether the current device runs code for sm_90a: kernels in hopper/. Throws MachineError where
// the driver does not say.
bool IsHopper();

// Names a kernel and its stub: CUDA_KERNEL(sequela_add).
struct KernelName {
  const char* name;
  const void* function;
};
template <typename Params>
KernelName NamedKernel(const char* name, void (*stub)(Params)) {
  return {name, reinterpret_cast<const void*>(stub)};
}
#define CUDA_KERNEL(kernel) ::sequela::cuda::NamedKernel(#kernel, (kernel))

struct LaunchShape {
  std::int64_t blocks = 1;  // grid x
  std::int64_t blocks_y = 1;
  std::int64_t blocks_z = 1;
  std::int64_t threads = 128;  // of a block
  std::int64_t shared_bytes = 0;
};

template <typename Params>
void Launch(const Exec& exec, const KernelName& kernel, const LaunchShape& shape,
            const Params& params) {
  const auto u32 = [](std::int64_t value) { return static_cast<std::uint32_t>(value); };
  LaunchKernel(exec, {.name = kernel.name,
                      .function = kernel.function,
                      .grid = {u32(shape.blocks), u32(shape.blocks_y), u32(shape.blocks_z)},
                      .block = {u32(shape.threads), 1, 1},
                      .shared_bytes = u32(shape.shared_bytes),
                      .parameters = &params,
                      .parameters_bytes = sizeof(Params)});
}

template <typename T>
Rows<T> RowsOf(const TensorView& view) {
  return {view.data == nullptr ? nullptr : view.As<T>(), view.stride};
}
template <typename T>
Rows<const T> RowsOf(const ConstTensorView& view) {
  return {view.data == nullptr ? nullptr : view.As<T>(), view.stride};
}

}  // namespace sequela::cuda
