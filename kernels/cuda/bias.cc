#include "kernels/base/int_math.h"
#include "kernels/cuda/bias_kernels.h"
#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/row_launch.h"
#include "kernels/cuda/rowwise.h"
#include "kernels/layout/workspace_carver.h"

namespace sequela::cuda {
namespace {

static_assert(BiasPieceRows(1000, 3) == 128 && BiasPieceRows(65536, 4) == 512 &&
              BiasPieceRows(1 << 20, 4) == kBiasMostRows);
static_assert(kBiasFewestRows >= kPartialRows, "the workspace holds so many partial sums");

template <typename T>
void LaunchForward(const Exec& exec, const BiasForwardArgs& args, const KernelName& kernel) {
  constexpr int kPack = PackSize<T>();
  const RowWork work = WorkOnRows(args.x_TD.rows, args.x_TD.columns, kPack,
                                  SuitsPacks(args.x_TD, kPack) && SuitsPacks(args.bias.data()));
  Launch(exec, kernel, ShapeOf(work),
         BiasForwardParams<T>{work, RowsOf<T>(args.x_TD), args.bias.data()});
}

template <typename T>
void LaunchBackward(const Exec& exec, const BiasBackwardArgs& args, const KernelName& kernel) {
  constexpr int kPack = PackSize<T>();
  const std::int64_t rows = args.d_x_TD.rows, columns = args.d_x_TD.columns;
  const std::int64_t tiles = CeilDiv(columns, kBiasBlockPacks * kPack);
  const std::int64_t piece_rows = BiasPieceRows(rows, tiles);
  const std::int64_t pieces = CeilDiv(rows, piece_rows);
  float* partials = WorkspaceCarver(exec.workspace).Take<float>(pieces * columns);
  Launch(exec, kernel, {.blocks = pieces * tiles, .threads = kBiasThreads},
         BiasBackwardParams<T>{.d_x = RowsOf<T>(args.d_x_TD),
                               .rows = rows,
                               .piece_rows = narrow<std::int32_t>(piece_rows),
                               .columns = narrow<std::uint32_t>(columns),
                               .tiles = narrow<std::uint32_t>(tiles),
                               .vectors = SuitsPacks(args.d_x_TD, kPack),
                               .partials = partials});
  AddPartialSums(exec, partials, pieces, args.d_bias);
}

}  // namespace

void BiasForward(const Exec& exec, const BiasForwardArgs& args) {
  args.x_TD.dtype == DType::kBFloat16
      ? LaunchForward<bf16>(exec, args, CUDA_KERNEL(sequela_bias_forward_bf16))
      : LaunchForward<float>(exec, args, CUDA_KERNEL(sequela_bias_forward_f32));
}

void BiasBackward(const Exec& exec, const BiasBackwardArgs& args) {
  args.d_x_TD.dtype == DType::kBFloat16
      ? LaunchBackward<bf16>(exec, args, CUDA_KERNEL(sequela_bias_backward_bf16))
      : LaunchBackward<float>(exec, args, CUDA_KERNEL(sequela_bias_backward_f32));
}

}  // namespace sequela::cuda
