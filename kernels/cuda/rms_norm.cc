#include <algorithm>

#include "kernels/base/int_math.h"
#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/rms_norm_kernels.h"
#include "kernels/cuda/row_launch.h"
#include "kernels/cuda/rowwise.h"
#include "kernels/layout/workspace_carver.h"

namespace sequela::cuda {
namespace {

// Of a block, or as many as a group has.
constexpr std::int64_t kForwardThreads = 256;
constexpr std::int64_t kBackwardThreads = 128;

NormWork WorkOnGroups(const ConstTensorView& x, std::int64_t size, std::int64_t pack_size,
                      bool vectors) {
  // Small groups have a thread a pack. Larger ones have kKeptPacks packs a thread, many loads in
  // flight, and stay in one warp for as long as they can.
  const std::uint32_t log2_warp = 5;
  const std::int64_t packs = CeilDiv(size, pack_size);
  const std::uint32_t log2_threads =
      std::min(CeilLog2(packs), std::max(log2_warp, CeilLog2(CeilDiv(packs, kKeptPacks))));
  return {.rows = x.rows,
          .groups = static_cast<std::uint32_t>(narrow<std::int32_t>(x.columns / size)),
          .size = static_cast<std::uint32_t>(narrow<std::int32_t>(size)),
          .log2_threads = std::min(log2_threads, CeilLog2(kMaxNormThreads)),
          .vectors = vectors && size % pack_size == 0};
}

std::int64_t BlockThreads(const NormWork& work, std::int64_t threads) {
  return std::max(threads, std::int64_t{1} << work.log2_threads);
}

template <typename X, typename Residual, typename Y>
void LaunchForward(const Exec& exec, const RmsNormForwardArgs& args, const KernelName& kernel) {
  constexpr int kPack = PackSize<X, Residual, Y>();
  const NormWork work =
      WorkOnGroups(args.x, std::ssize(args.gain), kPack,
                   SuitsPacks(args.x, kPack) && SuitsPacks(args.residual_in, kPack) &&
                       SuitsPacks(args.residual_out, kPack) && SuitsPacks(args.y, kPack) &&
                       SuitsPacks(args.gain.data()));
  const std::int64_t threads = BlockThreads(work, kForwardThreads);
  Launch(
      exec, kernel,
      {.blocks = CeilDiv(work.rows * work.groups, threads >> work.log2_threads),
       .threads = threads},
      RmsNormForwardParams<X, Residual, Y>{.work = work,
                                           .x = RowsOf<X>(args.x),
                                           .residual_in = RowsOf<Residual>(args.residual_in),
                                           .residual_out = RowsOf<Residual>(args.residual_out),
                                           .gain = args.gain.data(),
                                           .y = RowsOf<Y>(args.y),
                                           .rstd = args.rstd.empty() ? nullptr : args.rstd.data(),
                                           .epsilon = args.epsilon});
}

template <typename DY, typename In>
void LaunchBackward(const Exec& exec, const RmsNormBackwardArgs& args, float* partials,
                    const KernelName& kernel) {
  constexpr int kPack = PackSize<DY, In>();
  const NormWork work =
      WorkOnGroups(args.d_y, std::ssize(args.gain), kPack,
                   SuitsPacks(args.d_y, kPack) && SuitsPacks(args.input, kPack) &&
                       SuitsPacks(args.d_residual, kPack) && SuitsPacks(args.d_input, kPack) &&
                       SuitsPacks(args.gain.data()));
  narrow<std::int32_t>(work.groups * kPartialRows);
  const std::int64_t threads = BlockThreads(work, kBackwardThreads);
  const std::int64_t at_once = threads >> work.log2_threads;
  Launch(exec, kernel,
         {.blocks = CeilDiv(work.rows, kPartialRows),
          .threads = threads,
          .shared_bytes =
              at_once == 1 ? 0 : at_once * work.size * static_cast<std::int64_t>(sizeof(float))},
         RmsNormBackwardParams<DY, In>{.work = work,
                                       .d_y = RowsOf<DY>(args.d_y),
                                       .input = RowsOf<In>(args.input),
                                       .d_residual = RowsOf<In>(args.d_residual),
                                       .gain = args.gain.data(),
                                       .rstd = args.rstd.data(),
                                       .d_input = RowsOf<In>(args.d_input),
                                       .partials = partials,
                                       .piece_rows = kPartialRows});
}

void AddForward(const Exec& exec, const RmsNormForwardArgs& args) {
  const bool r_bf16 = args.residual_in.dtype == DType::kBFloat16;
  if (args.x.dtype == DType::kBFloat16) {
    r_bf16
        ? LaunchForward<bf16, bf16, bf16>(exec, args, CUDA_KERNEL(sequela_add_rms_norm_bf16_bf16))
        : LaunchForward<bf16, float, bf16>(exec, args, CUDA_KERNEL(sequela_add_rms_norm_bf16_f32));
  } else {
    r_bf16
        ? LaunchForward<float, bf16, float>(exec, args, CUDA_KERNEL(sequela_add_rms_norm_f32_bf16))
        : LaunchForward<float, float, float>(exec, args, CUDA_KERNEL(sequela_add_rms_norm_f32_f32));
  }
}

}  // namespace

void RmsNormForward(const Exec& exec, const RmsNormForwardArgs& args) {
  if (args.residual_in.data != nullptr) return AddForward(exec, args);
  const bool y_bf16 = args.y.dtype == DType::kBFloat16;
  if (args.x.dtype == DType::kBFloat16) {
    y_bf16 ? LaunchForward<bf16, bf16, bf16>(exec, args, CUDA_KERNEL(sequela_rms_norm_bf16_bf16))
           : LaunchForward<bf16, bf16, float>(exec, args, CUDA_KERNEL(sequela_rms_norm_bf16_f32));
  } else {
    y_bf16 ? LaunchForward<float, float, bf16>(exec, args, CUDA_KERNEL(sequela_rms_norm_f32_bf16))
           : LaunchForward<float, float, float>(exec, args, CUDA_KERNEL(sequela_rms_norm_f32_f32));
  }
}

void RmsNormBackward(const Exec& exec, const RmsNormBackwardArgs& args) {
  const std::int64_t pieces = CeilDiv(args.d_y.rows, kPartialRows);
  float* partials = WorkspaceCarver(exec.workspace).Take<float>(pieces * std::ssize(args.gain));
  const bool in_bf16 = args.input.dtype == DType::kBFloat16;
  if (args.d_y.dtype == DType::kBFloat16) {
    in_bf16 ? LaunchBackward<bf16, bf16>(exec, args, partials,
                                         CUDA_KERNEL(sequela_rms_norm_backward_bf16_bf16))
            : LaunchBackward<bf16, float>(exec, args, partials,
                                          CUDA_KERNEL(sequela_rms_norm_backward_bf16_f32));
  } else {
    in_bf16 ? LaunchBackward<float, bf16>(exec, args, partials,
                                          CUDA_KERNEL(sequela_rms_norm_backward_f32_bf16))
            : LaunchBackward<float, float>(exec, args, partials,
                                           CUDA_KERNEL(sequela_rms_norm_backward_f32_f32));
  }
  AddPartialSums(exec, partials, pieces, args.d_gain);
}

}  // namespace sequela::cuda
