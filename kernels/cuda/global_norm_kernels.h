// Sums of squares of the tiles of a flat buffer (kernels/global_norm.h).
#pragma once

#include "kernels/cuda/kernel.h"

namespace sequela::cuda {

inline constexpr int kSquareSumThreads = 256;  // a warp a tile
inline constexpr int kSquareSumTile = 1024;

struct TileSquareSumsParams {
  const float* x;
  std::int64_t elements;
  double* partials;
  bool vectors;  // x lies at a multiple of 16 bytes
};
SEQUELA_KERNEL sequela_tile_square_sums(TileSquareSumsParams p);

}  // namespace sequela::cuda
