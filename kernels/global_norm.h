// The global gradient norm from fp64 partial sums of squares, one per tile of 1,024 elements of a
// flat buffer, added in tile order: shards are runs of whole tiles, so the norm does not depend on
// the ranks.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/exec.h"

namespace sequela {

inline constexpr std::int64_t kNormTile = 1024;

struct TileSquareSumsArgs {
  std::span<const float> x;    // [n]; the last tile may be short
  std::span<double> partials;  // [ceil(n / 1024)]; written: the sum of squares of each tile
};
// A tile with a NaN or an infinity, and no other, has a partial that is not finite: squares of
// finite floats do not overflow in fp64. So this one pass is the finiteness test as well.
void TileSquareSums(const Exec& exec, const TileSquareSumsArgs& args);

// The first element that is not finite, or -1: for the message once a tile's partial was not finite.
// On the host.
std::int64_t FirstNonFiniteElement(std::span<const float> x);

}  // namespace sequela
