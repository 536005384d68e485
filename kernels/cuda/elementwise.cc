#include "kernels/cuda/elementwise_kernels.h"

#include "kernels/cuda/row_launch.h"
#include "kernels/cuda/rowwise.h"

namespace sequela::cuda {
namespace {

template <typename From, typename To>
void LaunchCast(const Exec& exec, const CastArgs& args, const KernelName& kernel) {
  const RowWork work = WorkOnElements({args.from, args.to}, PackSize<From, To>());
  Launch(exec, kernel, ShapeOf(work),
         CastParams<From, To>{work, RowsIn<From>(work, args.from), RowsIn<To>(work, args.to)});
}

template <typename A, typename B>
void LaunchAdd(const Exec& exec, const AddArgs& args, const KernelName& kernel) {
  const RowWork work = WorkOnElements({args.a, args.b, args.out}, PackSize<A, B>());
  Launch(exec, kernel, ShapeOf(work),
         AddParams<A, B>{work, RowsIn<A>(work, args.a), RowsIn<B>(work, args.b),
                         RowsIn<A>(work, args.out)});
}

}  // namespace

void Cast(const Exec& exec, const CastArgs& args) {
  const bool to_bf16 = args.to.dtype == DType::kBFloat16;
  if (args.from.dtype == DType::kBFloat16) {
    to_bf16 ? LaunchCast<bf16, bf16>(exec, args, CUDA_KERNEL(sequela_cast_bf16_bf16))
            : LaunchCast<bf16, float>(exec, args, CUDA_KERNEL(sequela_cast_bf16_f32));
  } else {
    to_bf16 ? LaunchCast<float, bf16>(exec, args, CUDA_KERNEL(sequela_cast_f32_bf16))
            : LaunchCast<float, float>(exec, args, CUDA_KERNEL(sequela_cast_f32_f32));
  }
}

void Add(const Exec& exec, const AddArgs& args) {
  const bool b_bf16 = args.b.dtype == DType::kBFloat16;
  if (args.a.dtype == DType::kBFloat16) {
    b_bf16 ? LaunchAdd<bf16, bf16>(exec, args, CUDA_KERNEL(sequela_add_bf16_bf16))
           : LaunchAdd<bf16, float>(exec, args, CUDA_KERNEL(sequela_add_bf16_f32));
  } else {
    b_bf16 ? LaunchAdd<float, bf16>(exec, args, CUDA_KERNEL(sequela_add_f32_bf16))
           : LaunchAdd<float, float>(exec, args, CUDA_KERNEL(sequela_add_f32_f32));
  }
}

void FillZero(const Exec& exec, const FillZeroArgs& args) {
  const std::int64_t units = SizeOf(args.x.dtype) / SizeOf(DType::kBFloat16);
  const TensorView x(args.x.data, DType::kBFloat16, args.x.rows, args.x.columns * units,
                     args.x.stride * units);
  const RowWork work = WorkOnElements({x}, PackSize<bf16>());
  Launch(exec, CUDA_KERNEL(sequela_fill_zero), ShapeOf(work),
         FillZeroParams{work, RowsIn<bf16>(work, x)});
}

}  // namespace sequela::cuda
