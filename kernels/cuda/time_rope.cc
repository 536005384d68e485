#include <algorithm>

#include "kernels/base/int_math.h"
#include "kernels/cuda/row_launch.h"
#include "kernels/cuda/rowwise.h"
#include "kernels/cuda/time_rope_kernels.h"

namespace sequela::cuda {
namespace {

template <typename T>
void LaunchTurn(const Exec& exec, const TimeRopeArgs& args, float direction,
                const KernelName& kernel) {
  constexpr int kPack = PackSize<T>();
  const std::int64_t pairs = args.cos_TP.columns;
  const std::int64_t heads = narrow<std::int32_t>(args.x_TNH.columns) / (2 * pairs);
  const std::uint32_t log2_block = CeilLog2(kRowThreads);
  const std::uint32_t log2_pack_threads = std::min(log2_block, CeilLog2(CeilDiv(pairs, kPack)));
  const std::uint32_t log2_row_threads =
      std::min(log2_block, log2_pack_threads + CeilLog2(std::max<std::int64_t>(1, heads)));
  Launch(
      exec, kernel,
      {.blocks = CeilDiv(args.x_TNH.rows, kRowThreads >> log2_row_threads), .threads = kRowThreads},
      TimeRopeParams<T>{.x = RowsOf<T>(args.x_TNH),
                        .cos = RowsOf<float>(args.cos_TP),
                        .sin = RowsOf<float>(args.sin_TP),
                        .rows = args.x_TNH.rows,
                        .heads = static_cast<std::uint32_t>(heads),
                        .pairs = static_cast<std::uint32_t>(pairs),
                        .log2_pack_threads = log2_pack_threads,
                        .log2_row_threads = log2_row_threads,
                        .direction = direction,
                        .vectors = SuitsPacks(args.x_TNH, kPack) && pairs % kPack == 0 &&
                                   SuitsPacks(args.cos_TP, kPack) &&
                                   SuitsPacks(args.sin_TP, kPack)});
}

void Turn(const Exec& exec, const TimeRopeArgs& args, float direction) {
  args.x_TNH.dtype == DType::kBFloat16
      ? LaunchTurn<bf16>(exec, args, direction, CUDA_KERNEL(sequela_time_rope_bf16))
      : LaunchTurn<float>(exec, args, direction, CUDA_KERNEL(sequela_time_rope_f32));
}

}  // namespace

void TimeRopeForward(const Exec& exec, const TimeRopeArgs& args) { Turn(exec, args, 1.0F); }
void TimeRopeBackward(const Exec& exec, const TimeRopeArgs& args) { Turn(exec, args, -1.0F); }

}  // namespace sequela::cuda
