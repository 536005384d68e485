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
// order. Blocks of one piece are neighbours, so that those at work read whole rows.
template <typename T>
__device__ void SumPiece(const BiasBackwardParams<T>& p) {
  constexpr int N = PackSize<T>();
  __shared__ __align__(16) float slice_sums[kBiasSlices][kBiasBlockPacks * N];
  const std::uint32_t pack = threadIdx.x % kBiasBlockPacks;
  const std::uint32_t slice = threadIdx.x / kBiasBlockPacks;
  const std::uint32_t piece = blockIdx.x / p.tiles;
  const std::uint32_t tile = (blockIdx.x - piece * p.tiles) * (kBiasBlockPacks * N);
  const std::uint32_t column = tile + pack * N;
  Floats<N> sum = {};
  if (column < p.columns) {
    WithPart<N>(p.columns - column, p.vectors, [&](auto part) {
      const std::int64_t first = static_cast<std::int64_t>(piece) * p.piece_rows;
      const std::int64_t left = p.rows - first;
      const int rows = left < p.piece_rows ? static_cast<int>(left) : p.piece_rows;
      const T* from = p.d_x.Row(first + slice) + column;
      const std::int64_t step = kBiasSlices * p.d_x.stride;
      int row = static_cast<int>(slice);
      for (; row + (kBiasBatch - 1) * kBiasSlices < rows; row += kBiasBatch * kBiasSlices) {
        Pack<T, N> d_x[kBiasBatch];
#pragma unroll
        for (Pack<T, N>& pack_of_row : d_x) {
          pack_of_row = Load<N>(from, part);
          from += step;
        }
#pragma unroll
        for (const Pack<T, N>& pack_of_row : d_x) AddTo(sum, Unpack(pack_of_row));
      }
      for (; row < rows; row += kBiasSlices, from += step) {
        AddTo(sum, LoadFloats<N>(from, part));
      }
    });
  }
  StoreFloats(sum, &slice_sums[slice][pack * N], WholePack());
  __syncthreads();
  float* partials = p.partials + static_cast<std::int64_t>(piece) * p.columns;
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
SEQUELA_KERNEL __launch_bounds__(kBiasThreads, kBiasBlocks)
    sequela_bias_backward_f32(BiasBackwardParams<float> p) {
  SumPiece(p);
}
SEQUELA_KERNEL __launch_bounds__(kBiasThreads, kBiasBlocks)
    sequela_bias_backward_bf16(BiasBackwardParams<bf16> p) {
  SumPiece(p);
}

}  // namespace sequela::cuda
