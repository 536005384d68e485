// The loop over the packs of a row.
#pragma once

#include "kernels/cuda/packs.cuh"
#include "kernels/cuda/row_kernels.h"

// A kernel whose blocks are shared among rows as RowWork says.
#define SEQUELA_ROW_KERNEL SEQUELA_KERNEL __launch_bounds__(::sequela::cuda::kRowThreads)
// One of which so many blocks a multiprocessor are enough. Without the number the compiler saves
// registers for the sake of more blocks, by moving loads down to their first use, where they wait
// one after another.
#define SEQUELA_ROW_KERNEL_OF(blocks) \
  SEQUELA_KERNEL __launch_bounds__(::sequela::cuda::kRowThreads, blocks)

namespace sequela::cuda {

// The row of this thread, which may lie past the last.
__device__ inline std::int64_t RowOf(const RowWork& work) {
  return static_cast<std::int64_t>(blockIdx.x) * (kRowThreads >> work.log2_threads) +
         (threadIdx.x >> work.log2_threads);
}

// body(column, part) for every pack of `row` that is this thread's.
template <int N, typename Body>
__device__ inline void ForPacks(const RowWork& work, std::int64_t row, const Body& body) {
  if (row >= work.rows) return;
  const std::int64_t left = work.elements - row * work.columns;
  const std::uint32_t columns =
      left < work.columns ? static_cast<std::uint32_t>(left) : work.columns;
  const std::uint32_t threads = 1U << work.log2_threads;
  for (std::uint32_t i = (threadIdx.x & (threads - 1)) * N; i < columns; i += threads * N) {
    WithPart<N>(columns - i, work.vectors, [&](auto part) { body(i, part); });
  }
}

// use(load(column, part), column, part) for every pack of `row` that is this thread's: kBatch whole
// packs are loaded before the first is used. REQUIRES: all rows are of one length.
template <int N, int kBatch, typename Load, typename Use>
__device__ inline void ForPackBatches(const RowWork& work, std::int64_t row, const Load& load,
                                      const Use& use) {
  if (row >= work.rows) return;
  const std::uint32_t step = N << work.log2_threads;
  std::uint32_t i = (threadIdx.x & ((1U << work.log2_threads) - 1)) * N;
  if (work.vectors) {
    for (; i + (kBatch - 1) * step + N <= work.columns; i += kBatch * step) {
      decltype(load(i, WholePack())) kept[kBatch];
#pragma unroll
      for (int k = 0; k < kBatch; ++k) kept[k] = load(i + k * step, WholePack());
#pragma unroll
      for (int k = 0; k < kBatch; ++k) use(kept[k], i + k * step, WholePack());
    }
  }
  for (; i < work.columns; i += step) {
    WithPart<N>(work.columns - i, work.vectors, [&](auto part) { use(load(i, part), i, part); });
  }
}

}  // namespace sequela::cuda
