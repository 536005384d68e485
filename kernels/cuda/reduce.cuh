// Sums over threads in a fixed order: a tree of neighbours within a warp, then warp after warp.
#pragma once

#include <cstdint>

namespace sequela::cuda {

inline constexpr int kWarpThreads = 32;
inline constexpr std::uint32_t kLog2WarpThreads = 5;

// The sum over 2^log2_threads neighbouring lanes, in each of them. Called by whole warps.
template <typename Real>
__device__ inline Real LaneSum(Real value, std::uint32_t log2_threads) {
  for (std::uint32_t i = 0; i < log2_threads; ++i) {
    value += __shfl_xor_sync(0xffffffffU, value, 1 << i);
  }
  return value;
}

// The sum over a group of 2^log2_threads neighbouring threads, in each of them; groups of several
// warps too. Called by all threads of a block. `warp_sums`: shared memory, a float a warp; other
// memory than in the call before, so that no thread has to wait until all have read.
__device__ inline float GroupSum(float value, std::uint32_t log2_threads, float* warp_sums) {
  const bool in_warp = log2_threads <= kLog2WarpThreads;
  value = LaneSum(value, in_warp ? log2_threads : kLog2WarpThreads);
  if (in_warp) return value;
  const std::uint32_t warp = threadIdx.x / kWarpThreads;
  const std::uint32_t warps = 1U << (log2_threads - kLog2WarpThreads);  // of the group
  if (threadIdx.x % kWarpThreads == 0) warp_sums[warp] = value;
  __syncthreads();
  const std::uint32_t first = warp & ~(warps - 1);
  float sum = 0.0F;
  for (std::uint32_t w = 0; w < warps; ++w) sum += warp_sums[first + w];
  return sum;
}

}  // namespace sequela::cuda
