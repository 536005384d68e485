// Casts, sums, scalings and fills of matrices: bound by memory.
#include "kernels/base/int_math.h"
#include "kernels/cuda/elementwise_kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/rowwise.h"

namespace sequela::cuda {
namespace {

template <typename From, typename To>
void LaunchCast(const Exec& exec, const CastArgs& args, const KernelName& kernel) {
  const std::int64_t count = args.to.rows * args.to.columns;
  Launch(exec, kernel,
         {.blocks = CeilDiv(count, kElementwiseThreads), .threads = kElementwiseThreads},
         CastParams<From, To>{RowsOf<From>(args.from), RowsOf<To>(args.to), args.to.rows,
                              args.to.columns});
}

}  // namespace

void Cast(const Exec& exec, const CastArgs& args) {
  if (args.from.dtype == DType::kFloat32) {
    LaunchCast<float, bf16>(exec, args, CUDA_KERNEL(sequela_cast_f32_bf16));
  } else {
    LaunchCast<bf16, float>(exec, args, CUDA_KERNEL(sequela_cast_bf16_f32));
  }
}

}  // namespace sequela::cuda
