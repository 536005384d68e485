// Merges what the threads of a block have found, each about its own part of a row.
#pragma once

#include "kernels/cuda/reduce.cuh"

namespace sequela::cuda {

// `Found` has FromLane(int mask), its copy in the lane whose number differs in `mask`, and
// Merge(const Found&), which gives the same bits whichever of two is merged into the other. A tree
// over the lanes of a warp, then one over the warps; every thread gets the result.
// One call per kernel and type: the shared memory is not guarded for a second one.
// REQUIRES: 1, 2, 4, ... whole warps, at most kMaxThreads, all of which call.
template <int kMaxThreads, typename Found>
__device__ inline Found MergeOverBlock(Found found) {
  __shared__ Found of_warp[kMaxThreads / kWarpThreads];
#pragma unroll
  for (int mask = kWarpThreads / 2; mask > 0; mask /= 2) found.Merge(found.FromLane(mask));
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  if (lane == 0) of_warp[threadIdx.x / kWarpThreads] = found;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarpThreads;
  Found merged = of_warp[lane % warps];
  for (int mask = warps / 2; mask > 0; mask /= 2) merged.Merge(merged.FromLane(mask));
  return merged;
}

}  // namespace sequela::cuda
