// Sums of partial sums in a fixed order.
#pragma once

#include "kernels/cuda/partial_sums_kernels.h"

namespace sequela::cuda {

// to[c] += sum over p < count of partials[p * columns + c] for the kTileColumns columns of this
// tile, by a block of kPartialSumThreads. Every slice of the partials is added in order, then the
// slices are: an order that depends on `count` alone. Some tens of loads wait side by side, which a
// single thread down a column would take one after another.
template <int kTileColumns>
__device__ inline void AddColumnSums(const float* partials, std::int64_t count,
                                     std::int64_t columns, std::int64_t tile, float* to) {
  constexpr int kSlices = kPartialSumThreads / kTileColumns;
  __shared__ float slice_sums[kSlices][kTileColumns];
  const int in_tile = threadIdx.x % kTileColumns;
  const int slice = threadIdx.x / kTileColumns;
  const std::int64_t column = tile * kTileColumns + in_tile;
  const std::int64_t slice_size = (count + kSlices - 1) / kSlices;
  const std::int64_t begin = slice * slice_size;
  const std::int64_t end = begin + slice_size < count ? begin + slice_size : count;
  const bool last = slice == 0 && column < columns;  // the thread that adds the slices
  const float before = last ? to[column] : 0.0F;     // loaded beside the others
  float sum = 0.0F;
  if (column < columns) {
#pragma unroll 16
    for (std::int64_t p = begin; p < end; ++p) sum += partials[p * columns + column];
  }
  slice_sums[slice][in_tile] = sum;
  __syncthreads();
  if (!last) return;
#pragma unroll
  for (int s = 1; s < kSlices; ++s) sum += slice_sums[s][in_tile];
  to[column] = before + sum;
}

}  // namespace sequela::cuda
