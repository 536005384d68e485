#include "kernels/cuda/bias_kernels.h"
#include "kernels/cuda/rows.cuh"

namespace sequela::cuda {

template <typename T>
__device__ void AddBias(const BiasForwardParams<T>& p) {
  constexpr int N = PackSize<T>();
  const std::int64_t row = RowOf(p.work);
  ForPacks<N>(p.work, row, [&](std::uint32_t i, auto part) {
    Floats<N> x = LoadFloats<N>(p.x.Row(row) + i, part);
    const Floats<N> bias = LoadFloats<N>(p.bias + i, part);
#pragma unroll
    for (int j = 0; j < N; ++j) x.v[j] += bias.v[j];
    StoreFloats(x, p.x.Row(row) + i, part);
  });
}

// One piece of rows: every slice of the block sums its rows in order, then the slices are added in
// order.
template <typename T>
__device__ void SumPiece(const BiasBackwardParams<T>& p) {
  constexpr int N = PackSize<T>();
  __shared__ float slice_sums[kBiasSlices][kBiasBlockPacks * N];
  const int pack = threadIdx.x % kBiasBlockPacks;
  const int slice = threadIdx.x / kBiasBlockPacks;
  const std::uint32_t tile = blockIdx.y * (kBiasBlockPacks * N);
  const std::uint32_t column = tile + pack * N;
  Floats<N> sum = {};
  if (column < p.columns) {
    WithPart<N>(p.columns - column, p.vectors, [&](auto part) {
      const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kBiasPieceRows;
      const std::int64_t end = first + kBiasPieceRows < p.rows ? first + kBiasPieceRows : p.rows;
#pragma unroll 4
      for (std::int64_t row = first + slice; row < end; row += kBiasSlices) {
        const Floats<N> d_x = LoadFloats<N>(p.d_x.Row(row) + column, part);
#pragma unroll
        for (int j = 0; j < N; ++j) sum.v[j] += d_x.v[j];
      }
    });
  }
#pragma unroll
  for (int j = 0; j < N; ++j) slice_sums[slice][pack * N + j] = sum.v[j];
  __syncthreads();
  float* partials = p.partials + static_cast<std::int64_t>(blockIdx.x) * p.columns;
  for (std::uint32_t c = threadIdx.x; c < kBiasBlockPacks * N; c += kBiasThreads) {
    if (tile + c >= p.columns) return;
    float total = 0.0F;
#pragma unroll
    for (int s = 0; s < kBiasSlices; ++s) total += slice_sums[s][c];
    partials[tile + c] = total;
  }
}

SEQUELA_ROW_KERNEL sequela_bias_forward_f32(BiasForwardParams<float> p) { AddBias(p); }
SEQUELA_ROW_KERNEL sequela_bias_forward_bf16(BiasForwardParams<bf16> p) { AddBias(p); }
SEQUELA_KERNEL __launch_bounds__(kBiasThreads)
    sequela_bias_backward_f32(BiasBackwardParams<float> p) {
  SumPiece(p);
}
SEQUELA_KERNEL __launch_bounds__(kBiasThreads)
    sequela_bias_backward_bf16(BiasBackwardParams<bf16> p) {
  SumPiece(p);
}

}  // namespace sequela::cuda
