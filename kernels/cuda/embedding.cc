#include "kernels/base/int_math.h"
#include "kernels/cuda/embedding_kernels.h"
#include "kernels/cuda/partial_sums_kernels.h"
#include "kernels/cuda/row_launch.h"
#include "kernels/cuda/rowwise.h"
#include "kernels/layout/workspace_carver.h"

namespace sequela::cuda {
namespace {

template <typename T>
void LaunchForward(const Exec& exec, const EmbeddingForwardArgs& args, const KernelName& kernel) {
  constexpr int kPack = PackSize<T>();
  const RowWork work = WorkOnRows(
      args.out_TD.rows, args.out_TD.columns, kPack,
      SuitsPacks(args.table_VD, kPack) && SuitsPacks(args.out_TD, kPack), kEmbeddingCopyBatch);
  Launch(exec, kernel, ShapeOf(work),
         EmbeddingForwardParams<T>{work, args.token.data(), RowsOf<T>(args.table_VD),
                                   RowsOf<T>(args.out_TD)});
}

template <typename T>
void LaunchPieces(const Exec& exec, const EmbeddingBackwardArgs& args, const TensorView& partials,
                  const KernelName& kernel) {
  constexpr int kPack = PackSize<T, float>();
  const EmbeddingPlan::ImageLayout image = args.plan->image_layout();
  const bool vectors = SuitsPacks(args.d_out_TD, kPack) && SuitsPacks(args.d_table_VD, kPack) &&
                       SuitsPacks(partials, kPack);
  RowWork work =
      WorkOnRows(std::ssize(args.plan->pieces()), args.d_out_TD.columns, kPack, vectors, 2);
  const std::int64_t tiles =
      CeilDiv(args.d_out_TD.columns, std::int64_t{2 * kPack} << work.log2_threads);
  work.rows *= tiles;
  narrow<std::int32_t>(work.rows);
  Launch(exec, kernel, ShapeOf(work),
         EmbeddingBackwardParams<T>{
             .work = work,
             .tiles = narrow<std::uint32_t>(tiles),
             .pieces = reinterpret_cast<const EmbeddingPiece*>(args.plan_image + image.pieces),
             .position = reinterpret_cast<const std::int32_t*>(args.plan_image + image.position),
             .d_out = RowsOf<T>(args.d_out_TD),
             .d_table = RowsOf<float>(args.d_table_VD),
             .partials = RowsOf<float>(partials)});
}

void LaunchSplitTokens(const Exec& exec, const EmbeddingBackwardArgs& args,
                       const TensorView& partials) {
  const std::int64_t tiles = CeilDiv(partials.columns, kEmbeddingSplitColumns);
  Launch(exec, CUDA_KERNEL(sequela_embedding_split_tokens),
         {.blocks = std::ssize(args.plan->split_tokens()) * tiles, .threads = kPartialSumThreads},
         EmbeddingSplitParams{.tokens = reinterpret_cast<const EmbeddingSplitToken*>(
                                  args.plan_image + args.plan->image_layout().split_tokens),
                              .partials = RowsOf<float>(ConstTensorView(partials)),
                              .d_table = RowsOf<float>(args.d_table_VD),
                              .columns = narrow<std::uint32_t>(partials.columns),
                              .tiles = narrow<std::uint32_t>(tiles)});
}

}  // namespace

void EmbeddingForward(const Exec& exec, const EmbeddingForwardArgs& args) {
  args.table_VD.dtype == DType::kBFloat16
      ? LaunchForward<bf16>(exec, args, CUDA_KERNEL(sequela_embedding_forward_bf16))
      : LaunchForward<float>(exec, args, CUDA_KERNEL(sequela_embedding_forward_f32));
}

void EmbeddingBackward(const Exec& exec, const EmbeddingBackwardArgs& args) {
  const std::int64_t columns = args.d_out_TD.columns;
  const TensorView partials(
      WorkspaceCarver(exec.workspace).Take<float>(args.plan->num_partials() * columns),
      args.plan->num_partials(), columns);
  args.d_out_TD.dtype == DType::kBFloat16
      ? LaunchPieces<bf16>(exec, args, partials, CUDA_KERNEL(sequela_embedding_backward_bf16))
      : LaunchPieces<float>(exec, args, partials, CUDA_KERNEL(sequela_embedding_backward_f32));
  LaunchSplitTokens(exec, args, partials);
}

}  // namespace sequela::cuda
