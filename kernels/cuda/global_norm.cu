#include "kernels/cuda/global_norm_kernels.h"
#include "kernels/cuda/packs.cuh"
#include "kernels/cuda/reduce.cuh"

namespace sequela::cuda {

// A lane's share of a tile: its packs are all in flight at once, then their squares are summed in
// fp64, where they are exact.
template <bool kWhole>
__device__ inline double SquareSum(const float* x, std::uint32_t size) {
  constexpr int N = PackSize<float>();
  constexpr int kPacks = kSquareSumTile / (kWarpThreads * N);
  Floats<N> packs[kPacks] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const std::uint32_t i = (k * kWarpThreads + threadIdx.x % kWarpThreads) * N;
    if constexpr (kWhole) {
      packs[k] = LoadFloats<N>(x + i, WholePack());
    } else if (i < size) {
      packs[k] = LoadFloats<N>(x + i, FirstElements{size - i < N ? size - i : N});
    }
  }
  double sum = 0.0;
#pragma unroll
  for (const Floats<N>& pack : packs) {
#pragma unroll
    for (const float value : pack.v) {
      sum = fma(static_cast<double>(value), static_cast<double>(value), sum);
    }
  }
  return sum;
}

// A warp a tile.
SEQUELA_KERNEL __launch_bounds__(kSquareSumThreads)
    sequela_tile_square_sums(TileSquareSumsParams p) {
  const std::int64_t tile =
      (static_cast<std::int64_t>(blockIdx.x) * kSquareSumThreads + threadIdx.x) / kWarpThreads;
  const std::int64_t left = p.elements - tile * kSquareSumTile;
  if (left <= 0) return;
  const float* x = p.x + tile * kSquareSumTile;
  double sum = p.vectors && left >= kSquareSumTile
                   ? SquareSum<true>(x, kSquareSumTile)
                   : SquareSum<false>(x, left < kSquareSumTile ? left : kSquareSumTile);
  sum = LaneSum(sum, kLog2WarpThreads);
  if (threadIdx.x % kWarpThreads == 0) p.partials[tile] = sum;
}

}  // namespace sequela::cuda
