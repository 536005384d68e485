// Threads that do not wait for each other.
#include "tests/ptx/faults/fault.cuh"

namespace sequela::faults {

// out[i] = in[n - 1 - i]: through shared memory, from another warp.
template <Fault kFault>
__device__ void Reverse(const FaultParams& p) {
  __shared__ float line[kThreads];
  line[threadIdx.x] = p.in[threadIdx.x];
  if (kFault != Fault::kDroppedBarrier) __syncthreads();
  p.out[threadIdx.x] = line[kThreads - 1 - threadIdx.x];
}
FAULT_KERNEL(reverse, Reverse, kNone)
FAULT_KERNEL(reverse_dropped_barrier, Reverse, kDroppedBarrier)

// out[t] = the sum over tiles of the neighbour's element: a buffer that is used again.
template <Fault kFault>
__device__ void SumTiles(const FaultParams& p) {
  __shared__ float line[kThreads];
  float sum = 0.0F;
  for (int tile = 0; tile < p.count / kThreads; ++tile) {
    line[threadIdx.x] = p.in[tile * kThreads + threadIdx.x];
    __syncthreads();
    sum = __fadd_rn(sum, line[(threadIdx.x + 37) % kThreads]);
    if (kFault != Fault::kDroppedSecondBarrier) __syncthreads();
  }
  p.out[threadIdx.x] = sum;
}
FAULT_KERNEL(sum_tiles, SumTiles, kNone)
FAULT_KERNEL(sum_tiles_dropped_second_barrier, SumTiles, kDroppedSecondBarrier)

// out[0] = the sum of all: warps by shuffles, then the first warp over the warps' sums.
template <Fault kFault>
__device__ void Sum(const FaultParams& p) {
  __shared__ float sums[kThreads / 32];
  float sum = p.in[threadIdx.x];
  for (int step = 16; step > 0; step /= 2) {
    sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffffU, sum, step));
  }
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  if (kFault != Fault::kDroppedBarrier) __syncthreads();
  if (threadIdx.x == 0) {
    for (int warp = 1; warp < kThreads / 32; ++warp) sum = __fadd_rn(sum, sums[warp]);
    p.out[0] = sum;
  }
}
FAULT_KERNEL(sum, Sum, kNone)
FAULT_KERNEL(sum_dropped_barrier, Sum, kDroppedBarrier)

// out[i] = in[i ^ 1]: lanes of a warp run in step on paper only.
template <Fault kFault>
__device__ void Exchange(const FaultParams& p) {
  __shared__ float line[kThreads];
  line[threadIdx.x] = p.in[threadIdx.x];
  if (kFault != Fault::kDroppedBarrier) __syncwarp();
  p.out[threadIdx.x] = line[threadIdx.x ^ 1];
}
FAULT_KERNEL(exchange, Exchange, kNone)
FAULT_KERNEL(exchange_dropped_syncwarp, Exchange, kDroppedBarrier)

// out[block] = in[block], by the last thread of every block.
template <Fault kFault>
__device__ void EachBlock(const FaultParams& p) {
  const unsigned to = kFault == Fault::kSharedWord ? blockIdx.x / 2 : blockIdx.x;
  if (threadIdx.x == kThreads - 1) p.out[to] = p.in[blockIdx.x];
}
FAULT_KERNEL(each_block, EachBlock, kNone)
FAULT_KERNEL(each_block_shared_word, EachBlock, kSharedWord)

// out[0] = how many elements are positive.
template <Fault kFault>
__device__ void Count(const FaultParams& p) {
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  if (p.in[threadIdx.x] > 0.0F) {
    if (kFault == Fault::kPlainCounter) {
      ++count;
    } else {
      atomicAdd(&count, 1);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) p.out[0] = static_cast<float>(count);
}
FAULT_KERNEL(count, Count, kNone)
FAULT_KERNEL(count_plain_counter, Count, kPlainCounter)

}  // namespace sequela::faults
