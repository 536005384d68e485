// How a kernel is shared by the two compilers. A family of operations X has
//   X_kernels.h  structs of parameters and declarations of the kernels; read by both compilers
//   X.cu         the kernels alone; nvcc reads no header of ours but this, *_kernels.h, *.cuh,
//                base/{bf16,host_device,philox}.h and layout/ (it stumbles over fmt and std::span)
//   X.cc         the host: checks, launch shapes, LaunchKernel
// A kernel has a C name, which is then its name in PTX, and one struct of parameters.
#pragma once

#include <cstdint>

#include "kernels/base/bf16.h"

#if defined(__CUDACC__)
#define SEQUELA_KERNEL extern "C" __global__ void
#else
// The host's stub that nvcc makes; its address names the kernel to the driver.
#define SEQUELA_KERNEL extern "C" void
#endif

namespace sequela::cuda {

// A matrix as kernels see it: rows `stride` elements apart. Null where an argument is not given.
template <typename T>
struct Rows {
  T* data = nullptr;
  std::int64_t stride = 0;
#if defined(__CUDACC__)
  __device__ T* Row(std::int64_t row) const { return data + row * stride; }
#endif
};

}  // namespace sequela::cuda
