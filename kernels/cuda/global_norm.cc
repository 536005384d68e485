#include "kernels/cuda/global_norm_kernels.h"

#include "kernels/base/int_math.h"
#include "kernels/cuda/row_launch.h"
#include "kernels/cuda/rowwise.h"

namespace sequela::cuda {

void TileSquareSums(const Exec& exec, const TileSquareSumsArgs& args) {
  static_assert(kNormTile == kSquareSumTile);
  constexpr std::int64_t kTilesPerBlock = kSquareSumThreads / 32;
  Launch(
      exec, CUDA_KERNEL(sequela_tile_square_sums),
      {.blocks = CeilDiv(std::ssize(args.partials), kTilesPerBlock), .threads = kSquareSumThreads},
      TileSquareSumsParams{.x = args.x.data(),
                           .elements = std::ssize(args.x),
                           .partials = args.partials.data(),
                           .vectors = SuitsPacks(args.x.data())});
}

}  // namespace sequela::cuda
