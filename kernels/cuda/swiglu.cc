#include "kernels/cuda/row_launch.h"
#include "kernels/cuda/rowwise.h"
#include "kernels/cuda/swiglu_kernels.h"

namespace sequela::cuda {
namespace {

// Packs of the ups lie as those of the gates do only if a row of gates is a whole number of them.
bool HalvesSuitPacks(const ConstTensorView& gate_up, std::int64_t pack_size) {
  return SuitsPacks(gate_up, pack_size) && gate_up.columns / 2 % pack_size == 0;
}

template <typename T>
void LaunchForward(const Exec& exec, const SwigluForwardArgs& args, const KernelName& kernel) {
  constexpr int kPack = PackSize<T>();
  const RowWork work = WorkOnRows(
      args.out_TF.rows, args.out_TF.columns, kPack,
      HalvesSuitPacks(args.gate_up_T2F, kPack) && SuitsPacks(args.out_TF, kPack), kSwigluBatch);
  Launch(exec, kernel, ShapeOf(work),
         SwigluForwardParams<T>{work, RowsOf<T>(args.gate_up_T2F), RowsOf<T>(args.out_TF)});
}

template <typename T>
void LaunchBackward(const Exec& exec, const SwigluBackwardArgs& args, const KernelName& kernel) {
  constexpr int kPack = PackSize<T>();
  const RowWork work = WorkOnRows(args.d_out_TF.rows, args.d_out_TF.columns, kPack,
                                  HalvesSuitPacks(args.gate_up_T2F, kPack) &&
                                      HalvesSuitPacks(args.d_gate_up_T2F, kPack) &&
                                      SuitsPacks(args.d_out_TF, kPack));
  Launch(exec, kernel, ShapeOf(work),
         SwigluBackwardParams<T>{work, RowsOf<T>(args.gate_up_T2F), RowsOf<T>(args.d_out_TF),
                                 RowsOf<T>(args.d_gate_up_T2F)});
}

}  // namespace

void SwigluForward(const Exec& exec, const SwigluForwardArgs& args) {
  args.out_TF.dtype == DType::kBFloat16
      ? LaunchForward<bf16>(exec, args, CUDA_KERNEL(sequela_swiglu_forward_bf16))
      : LaunchForward<float>(exec, args, CUDA_KERNEL(sequela_swiglu_forward_f32));
}

void SwigluBackward(const Exec& exec, const SwigluBackwardArgs& args) {
  args.d_out_TF.dtype == DType::kBFloat16
      ? LaunchBackward<bf16>(exec, args, CUDA_KERNEL(sequela_swiglu_backward_bf16))
      : LaunchBackward<float>(exec, args, CUDA_KERNEL(sequela_swiglu_backward_f32));
}

}  // namespace sequela::cuda
