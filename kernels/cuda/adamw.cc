#include <cmath>

#include "kernels/cuda/adamw_kernels.h"
#include "kernels/cuda/row_launch.h"
#include "kernels/cuda/rowwise.h"

namespace sequela::cuda {

void Adamw(const Exec& exec, const AdamwArgs& args) {
  const auto size = std::ssize(args.master);
  const auto row = [&](auto* data) { return TensorView(data, 1, size); };
  const TensorView master = row(args.master.data());
  const TensorView m = row(args.m.data());
  const TensorView v = row(args.v.data());
  const ConstTensorView gradient(args.gradient.data(), 1, size);
  const TensorView weights = row(args.weights.data());
  const RowWork work = WorkOnElements({master, m, v, gradient, weights}, PackSize<float>());
  const auto f32 = [](double value) { return static_cast<float>(value); };
  Launch(exec, CUDA_KERNEL(sequela_adamw), ShapeOf(work),
         AdamwParams{.work = work,
                     .master = RowsIn<float>(work, master),
                     .m = RowsIn<float>(work, m),
                     .v = RowsIn<float>(work, v),
                     .gradient = RowsIn<float>(work, gradient),
                     .weights = RowsIn<bf16>(work, weights),
                     .gradient_scale = f32(args.gradient_scale),
                     .keep = f32(1.0 - args.learning_rate * args.weight_decay),
                     .take_m = f32(1.0 - args.beta1),
                     .keep_v = f32(args.beta2),
                     .take_v = f32(1.0 - args.beta2),
                     .root_scale = f32(1.0 / std::sqrt(args.bias_correction2)),
                     .epsilon = f32(args.epsilon),
                     .step_size = f32(args.learning_rate / args.bias_correction1)});
}

}  // namespace sequela::cuda
