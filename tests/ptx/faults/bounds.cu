// Masks off by one, and memory that nobody wrote.
#include "tests/ptx/faults/fault.cuh"

namespace sequela::faults {

// out[i] = 2 in[i] for i < count.
template <Fault kFault>
__device__ void Double(const FaultParams& p) {
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  const bool inside = kFault == Fault::kMaskTooWide     ? i <= p.count
                      : kFault == Fault::kMaskTooNarrow ? i < p.count - 1
                                                        : i < p.count;
  if (inside) p.out[i] = __fmul_rn(2.0F, p.in[i]);
}
FAULT_KERNEL(double, Double, kNone)
FAULT_KERNEL(double_mask_too_wide, Double, kMaskTooWide)
FAULT_KERNEL(double_mask_too_narrow, Double, kMaskTooNarrow)

// out[i] = in[i] + in[i + 1] for i + 1 < count: the neighbour is read even where it is not used.
template <Fault kFault>
__device__ void Neighbours(const FaultParams& p) {
  const int i = static_cast<int>(threadIdx.x);
  const int last = kFault == Fault::kMaskTooWide ? p.count : p.count - 1;
  const float next = i + 1 <= last ? p.in[i + 1] : 0.0F;
  if (i < p.count) p.out[i] = __fadd_rn(p.in[i], next);
}
FAULT_KERNEL(neighbours, Neighbours, kNone)
FAULT_KERNEL(neighbours_read_beyond, Neighbours, kMaskTooWide)

// out[i] = in[i], four at a time.
template <Fault kFault>
__device__ void Vectors(const FaultParams& p) {
  const int shift = kFault == Fault::kMisaligned ? 1 : 0;
  const auto* from = reinterpret_cast<const float4*>(p.in + shift) + threadIdx.x;
  if (4 * static_cast<int>(threadIdx.x) + 4 + shift <= p.count) {
    const float4 four = *from;
    reinterpret_cast<float4*>(p.out)[threadIdx.x] = four;
  }
}
FAULT_KERNEL(vectors, Vectors, kNone)
FAULT_KERNEL(vectors_misaligned, Vectors, kMisaligned)

// out[i] = in[n - 1 - i] for i < count, through a buffer of which only `count` places are filled.
template <Fault kFault>
__device__ void PartlyFilled(const FaultParams& p) {
  __shared__ float line[kThreads];
  const int i = static_cast<int>(threadIdx.x);
  const int filled = kFault == Fault::kUnwritten ? p.count - 1 : p.count;
  if (i < filled) line[i] = p.in[i];
  __syncthreads();
  if (i < p.count) p.out[i] = line[p.count - 1 - i];
}
FAULT_KERNEL(partly_filled, PartlyFilled, kNone)
FAULT_KERNEL(partly_filled_unwritten, PartlyFilled, kUnwritten)

// out[row] = the sum of a row of 32: one accumulator for all rows of a thread.
template <Fault kFault>
__device__ void RowSums(const FaultParams& p) {
  float sum = 0.0F;
  for (int row = static_cast<int>(threadIdx.x); row < p.count / 32; row += kThreads) {
    if (kFault != Fault::kStale) sum = 0.0F;
    for (int i = 0; i < 32; ++i) sum = __fadd_rn(sum, p.in[row * 32 + i]);
    p.out[row] = sum;
  }
}
FAULT_KERNEL(row_sums, RowSums, kNone)
FAULT_KERNEL(row_sums_stale_accumulator, RowSums, kStale)

}  // namespace sequela::faults
