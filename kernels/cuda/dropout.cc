#include "kernels/base/int_math.h"
#include "kernels/cuda/dropout_kernels.h"
#include "kernels/cuda/row_launch.h"
#include "kernels/cuda/rowwise.h"

namespace sequela::cuda {
namespace {

template <typename T>
void LaunchDropout(const Exec& exec, const DropoutArgs& args, const KernelName& kernel) {
  constexpr int kPack = PackSize<T>();
  const RowWork work = WorkOnRows(args.x_TC.rows, args.x_TC.columns, kPack,
                                  SuitsPacks(args.x_TC, kPack) && SuitsPacks(args.out_TC, kPack));
  Launch(exec, kernel, ShapeOf(work),
         DropoutParams<T>{.work = work,
                          .x = RowsOf<T>(args.x_TC),
                          .out = RowsOf<T>(args.out_TC),
                          .sample = args.sample.data(),
                          .document_begin = args.document_begin.data(),
                          .position = args.position.data(),
                          .key = args.key,
                          .documents = narrow<std::uint32_t>(args.sample.size()),
                          .threshold = DropoutThreshold(args.rate),
                          .scale = static_cast<float>(1.0 / (1.0 - args.rate))});
}

}  // namespace

void Dropout(const Exec& exec, const DropoutArgs& args) {
  args.x_TC.dtype == DType::kBFloat16
      ? LaunchDropout<bf16>(exec, args, CUDA_KERNEL(sequela_dropout_bf16))
      : LaunchDropout<float>(exec, args, CUDA_KERNEL(sequela_dropout_f32));
}

}  // namespace sequela::cuda
