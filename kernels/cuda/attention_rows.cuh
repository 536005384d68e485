// What the tensor-core kernels of attention for sm_80 and for sm_90a share: who a thread is, what
// rows see.
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

}  // namespace sequela::cuda
