// A bias added to every row, and its gradient (kernels/bias.h).
#pragma once

#include "kernels/cuda/row_kernels.h"

namespace sequela::cuda {

template <typename T>
struct BiasForwardParams {
  RowWork work;
  Rows<T> x;
  const float* bias;
};
SEQUELA_KERNEL sequela_bias_forward_f32(BiasForwardParams<float> p);
SEQUELA_KERNEL sequela_bias_forward_bf16(BiasForwardParams<bf16> p);

// A block sums a piece of the rows of kBiasBlockPacks packs of columns; every kBiasSlices-th row by
// the same threads.
inline constexpr int kBiasBlockPacks = 32;
inline constexpr int kBiasSlices = 8;
inline constexpr int kBiasThreads = kBiasBlockPacks * kBiasSlices;
// 4 blocks of a multiprocessor with 8 loads a thread: 128 KB on their way.
inline constexpr int kBiasBatch = 8;
inline constexpr int kBiasBlocks = 4;
// Rows of a piece: as many as leave blocks for the largest GPU, so that it starts and ends them
// once and there are few sums to add; by the shape alone, so that the sums are the same on all.
inline constexpr std::int64_t kBiasFewestRows = 128;
inline constexpr std::int64_t kBiasMostRows = 1024;
inline constexpr std::int64_t kBiasEnoughBlocks = 512;
constexpr std::int64_t BiasPieceRows(std::int64_t rows, std::int64_t tiles) {
  std::int64_t piece = kBiasFewestRows;
  while (piece < kBiasMostRows && rows / (2 * piece) * tiles >= kBiasEnoughBlocks) piece *= 2;
  return piece;
}

template <typename T>
struct BiasBackwardParams {
  Rows<const T> d_x;
  std::int64_t rows;
  std::int32_t piece_rows;
  std::uint32_t columns;
  std::uint32_t tiles;  // of kBiasBlockPacks packs of columns
  bool vectors;
  float* partials;  // [ceil(rows / piece_rows), columns]
};
// Blocks: the tiles of the first piece, then those of the next.
SEQUELA_KERNEL sequela_bias_backward_f32(BiasBackwardParams<float> p);
SEQUELA_KERNEL sequela_bias_backward_bf16(BiasBackwardParams<bf16> p);

}  // namespace sequela::cuda
