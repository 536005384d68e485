// Barriers that not all threads reach, or not the same.
#include "tests/ptx/faults/fault.cuh"

namespace sequela::faults {

// out[i] = in[i ^ 8] for the first 16 threads, 0 for the others.
template <Fault kFault>
__device__ void FirstThreads(const FaultParams& p) {
  __shared__ float line[kThreads];
  line[threadIdx.x] = p.in[threadIdx.x];
  if (kFault != Fault::kDivergent) __syncthreads();
  float value = 0.0F;
  if (threadIdx.x < 16) {
    if (kFault == Fault::kDivergent) __syncthreads();
    value = line[threadIdx.x ^ 8];
  }
  __syncthreads();  // where the others wait
  p.out[threadIdx.x] = value;
}
FAULT_KERNEL(first_threads, FirstThreads, kNone)
FAULT_KERNEL(first_threads_divergent_barrier, FirstThreads, kDivergent)

// out[i] = in[i ^ 32]: pairs of warps meet at a barrier of their own.
template <Fault kFault>
__device__ void Pairs(const FaultParams& p) {
  __shared__ float line[kThreads];
  const int pair = threadIdx.x / 64;
  const int barrier = kFault == Fault::kMismatched ? threadIdx.x / 32 : pair;
  line[threadIdx.x] = p.in[threadIdx.x];
  asm volatile("bar.sync %0, 64;" ::"r"(barrier + 1) : "memory");
  p.out[threadIdx.x] = line[threadIdx.x ^ 32];
}
FAULT_KERNEL(pairs, Pairs, kNone)
FAULT_KERNEL(pairs_mismatched_barrier, Pairs, kMismatched)

}  // namespace sequela::faults
