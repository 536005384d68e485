// Merges what the threads of a block have found, each about its own part of a row.
#pragma once

#include "kernels/cuda/reduce.cuh"

namespace sequela::cuda {

// `Found` has FromLane(int mask), its copy in the lane whose number differs in `mask`, and
// Merge(const Found&). The order is fixed by the number of threads; every thread gets the result.
// One call per kernel and type: the shared memory is not guarded for a second one.
// REQUIRES: whole warps, at most kMaxThreads, all of which call.
template <int kMaxThreads, typename Found>
__device__ inline Found MergeOverBlock(Found found) {
  __shared__ Found of_warp[kMaxThreads / kWarpThreads];
#pragma unroll
  for (int mask = kWarpThreads / 2; mask > 0; mask /= 2) found.Merge(found.FromLane(mask));
  if (threadIdx.x % kWarpThreads == 0) of_warp[threadIdx.x / kWarpThreads] = found;
  __syncthreads();
  Found merged = of_warp[0];
  for (int warp = 1; warp < blockDim.x / kWarpThreads; ++warp) merged.Merge(of_warp[warp]);
  return merged;
}

}  // namespace sequela::cuda
