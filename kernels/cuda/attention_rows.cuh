// What the tensor-core kernels of attention for sm_80 and for sm_90a share: who a thread is, what
// rows see, and their way out.
#pragma once

#include "kernels/cuda/attention_work.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/layout/attention_mask.h"

namespace sequela::cuda {

constexpr float kLog2E = 1.44269504088896340736F;
constexpr unsigned kAllLanes = 0xffffffffU;

__device__ inline int Lane() { return static_cast<int>(threadIdx.x) % 32; }
__device__ inline int Warp() { return static_cast<int>(threadIdx.x) / 32; }

template <int kBlocks>
__device__ void Clear(float (&c)[kBlocks][4]) {
#pragma unroll
  for (int n = 0; n < kBlocks; ++n) c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0.0F;
}

__device__ inline KvInterval IntervalOf(const AttentionDeviceView& plan, int row) {
  return {plan.kv_begin[row], plan.kv_end[row]};
}

// The first and last of a warp's rows [first, first + count); nothing where there are none.
struct WarpIntervals {
  KvInterval first, last;
};
__device__ inline WarpIntervals IntervalsOf(const AttentionDeviceView& plan, int first, int count) {
  if (count <= 0) return {};
  return {IntervalOf(plan, first), IntervalOf(plan, first + count - 1)};
}

// Writes a warp's 16 rows of accumulators, the upper and lower half of each 16 times a factor, as
// bf16: to rows [first, first + count). They pass through place(row, chunk) of shared memory, which
// nobody else is using, so that memory is written in whole chunks.
template <int kHeadSize, typename Place>
__device__ void StoreThrough(const Place& place, const float (&c)[kHeadSize / 8][4],
                             float upper_factor, float lower_factor, const Rows<bf16>& to,
                             int first, int count, int head) {
  constexpr int kChunks = kHeadSize / mma::kChunk;
#pragma unroll
  for (int n = 0; n < kChunks; ++n) {
    const int row = mma::AccumulatorRow(Lane(), 0), byte = 2 * mma::AccumulatorColumn(Lane(), 0);
    *reinterpret_cast<std::uint32_t*>(place(row, n) + byte) =
        PackBf16(c[n][0] * upper_factor, c[n][1] * upper_factor);
    *reinterpret_cast<std::uint32_t*>(place(row + 8, n) + byte) =
        PackBf16(c[n][2] * lower_factor, c[n][3] * lower_factor);
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 16 * kChunks / 32; ++i) {
    const int row = (i * 32 + Lane()) / kChunks, chunk = Lane() % kChunks;
    if (row < count) {
      *reinterpret_cast<uint4*>(to.Row(first + row) + head * kHeadSize + chunk * mma::kChunk) =
          *reinterpret_cast<const uint4*>(place(row, chunk));
    }
  }
}

}  // namespace sequela::cuda
