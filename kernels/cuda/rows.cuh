// The loop over the packs of a row.
#pragma once

#include "kernels/cuda/packs.cuh"
#include "kernels/cuda/row_kernels.h"

// A kernel whose blocks are shared among rows as RowWork says.
#define SEQUELA_ROW_KERNEL SEQUELA_KERNEL __launch_bounds__(::sequela::cuda::kRowThreads)

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

}  // namespace sequela::cuda
