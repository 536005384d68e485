#include "kernels/base/int_math.h"
#include "kernels/cpu/workspace_carver.h"
#include "kernels/cuda/bias_kernels.h"
#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/row_launch.h"
#include "kernels/cuda/rowwise.h"

namespace sequela::cuda {
namespace {

static_assert(kBiasPieceRows >= kPartialRows, "the workspace holds so many partial sums");

template <typename T>
void LaunchForward(const Exec& exec, const BiasForwardArgs& args, const KernelName& kernel) {
  constexpr int kPack = PackSize<T>();
  const RowWork work = WorkOnRows(args.x_TD.rows, args.x_TD.columns, kPack,
                                  SuitsPacks(args.x_TD, kPack) && SuitsPacks(args.bias.data()));
  Launch(exec, kernel, ShapeOf(work),
         BiasForwardParams<T>{work, RowsOf<T>(args.x_TD), args.bias.data()});
}

template <typename T>
void LaunchBackward(const Exec& exec, const BiasBackwardArgs& args, float* partials,
                    const KernelName& kernel) {
  constexpr int kPack = PackSize<T>();
  const std::int64_t tiles = CeilDiv(args.d_x_TD.columns, kBiasBlockPacks * kPack);
  Launch(exec, kernel,
         {.blocks = CeilDiv(args.d_x_TD.rows, kBiasPieceRows) * tiles, .threads = kBiasThreads},
         BiasBackwardParams<T>{.d_x = RowsOf<T>(args.d_x_TD),
                               .rows = args.d_x_TD.rows,
                               .columns = narrow<std::uint32_t>(args.d_x_TD.columns),
                               .tiles = narrow<std::uint32_t>(tiles),
                               .vectors = SuitsPacks(args.d_x_TD, kPack),
                               .partials = partials});
}

}  // namespace

void BiasForward(const Exec& exec, const BiasForwardArgs& args) {
  args.x_TD.dtype == DType::kBFloat16
      ? LaunchForward<bf16>(exec, args, CUDA_KERNEL(sequela_bias_forward_bf16))
      : LaunchForward<float>(exec, args, CUDA_KERNEL(sequela_bias_forward_f32));
}

void BiasBackward(const Exec& exec, const BiasBackwardArgs& args) {
  const std::int64_t pieces = CeilDiv(args.d_x_TD.rows, kBiasPieceRows);
  float* partials = cpu::WorkspaceCarver(exec.workspace).Take<float>(pieces * args.d_x_TD.columns);
  args.d_x_TD.dtype == DType::kBFloat16
      ? LaunchBackward<bf16>(exec, args, partials, CUDA_KERNEL(sequela_bias_backward_bf16))
      : LaunchBackward<float>(exec, args, partials, CUDA_KERNEL(sequela_bias_backward_f32));
  AddPartialSums(exec, partials, pieces, args.d_bias);
}

}  // namespace sequela::cuda
