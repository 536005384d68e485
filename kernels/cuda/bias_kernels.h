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

// A block sums kBiasPieceRows rows of kBiasBlockPacks packs of columns; every kBiasSlices-th row by
// the same threads.
inline constexpr int kBiasPieceRows = 128;
inline constexpr int kBiasBlockPacks = 32;
inline constexpr int kBiasSlices = 8;
inline constexpr int kBiasThreads = kBiasBlockPacks * kBiasSlices;
// 4 blocks of a multiprocessor with 8 loads a thread: 128 KB on their way.
inline constexpr int kBiasBatch = 8;
inline constexpr int kBiasBlocks = 4;

template <typename T>
struct BiasBackwardParams {
  Rows<const T> d_x;
  std::int64_t rows;
  std::uint32_t columns;
  std::uint32_t tiles;  // of kBiasBlockPacks packs of columns
  bool vectors;
  float* partials;  // [ceil(rows / kBiasPieceRows), columns]
};
// Blocks: the tiles of the first piece, then those of the next.
SEQUELA_KERNEL sequela_bias_backward_f32(BiasBackwardParams<float> p);
SEQUELA_KERNEL sequela_bias_backward_bf16(BiasBackwardParams<bf16> p);

}  // namespace sequela::cuda
