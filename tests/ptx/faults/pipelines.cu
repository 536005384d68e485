// Copies that are read before they are there, or overwritten while they are read.
#include "tests/ptx/faults/fault.cuh"

namespace sequela::faults {

template <Fault kFault>
__device__ void CopyAsync(float* to, const float* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<std::uint32_t>(__cvta_generic_to_shared(to))),
               "l"(from), "r"(bytes)
               : "memory");
}
template <Fault kFault>
__device__ void Commit() {
  if (kFault != Fault::kNoCommit) asm volatile("cp.async.commit_group;" ::: "memory");
}

// out[4 t + i] = the sum over tiles of 512 of in[4 t' + i], t' another thread's place: two stages,
// the next tile on its way while one is read. The last tile is filled up with zeros.
template <Fault kFault>
__device__ void Pipeline(const FaultParams& p) {
  constexpr int kTile = 4 * kThreads;
  __shared__ __align__(16) float stages[2][kTile];
  const int mine = 4 * static_cast<int>(threadIdx.x);
  const int theirs = 4 * static_cast<int>((threadIdx.x + 40) % kThreads);
  const int tiles = (p.count + kTile - 1) / kTile;
  const int end = kFault == Fault::kMaskTooWide ? p.count + 4 : p.count;
  const auto load = [&](int tile) {
    const int at = tile * kTile + mine;
    CopyAsync<kFault>(stages[tile % 2] + mine, p.in + (at < end ? at : 0), at < end ? 16 : 0);
  };
  float sums[4] = {};
  load(0);
  Commit<kFault>();
  for (int tile = 0; tile < tiles; ++tile) {
    if (tile + 1 < tiles) load(tile + 1);
    Commit<kFault>();  // an empty group at the end, so that the count of groups is the same
    if (kFault == Fault::kWaitForTooFew) {
      asm volatile("cp.async.wait_group 2;" ::: "memory");
    } else if (kFault != Fault::kNoWait) {
      asm volatile("cp.async.wait_group 1;" ::: "memory");
    }
    if (kFault != Fault::kDroppedBarrier) __syncthreads();
    for (int i = 0; i < 4; ++i) sums[i] = __fadd_rn(sums[i], stages[tile % 2][theirs + i]);
    if (kFault != Fault::kDroppedSecondBarrier) __syncthreads();
  }
  for (int i = 0; i < 4; ++i) p.out[mine + i] = sums[i];
}
FAULT_KERNEL(pipeline, Pipeline, kNone)
FAULT_KERNEL(pipeline_no_wait, Pipeline, kNoWait)
FAULT_KERNEL(pipeline_wait_for_too_few, Pipeline, kWaitForTooFew)
FAULT_KERNEL(pipeline_no_commit, Pipeline, kNoCommit)
FAULT_KERNEL(pipeline_dropped_barrier, Pipeline, kDroppedBarrier)
FAULT_KERNEL(pipeline_dropped_second_barrier, Pipeline, kDroppedSecondBarrier)
FAULT_KERNEL(pipeline_read_beyond, Pipeline, kMaskTooWide)

}  // namespace sequela::faults
