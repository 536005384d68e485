// A bias added to every row, and its gradient. T rows, D channels.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"

namespace sequela {

struct BiasForwardArgs {
  TensorView x_TD;              // fp32 or bf16, rows at any stride; x += bias in place
  std::span<const float> bias;  // [D]
};
void BiasForward(const Exec& exec, const BiasForwardArgs& args);

struct BiasBackwardArgs {
  ConstTensorView d_x_TD;   // fp32 or bf16; read
  std::span<float> d_bias;  // [D]; the column sums are added, by fixed partial sums
};
std::int64_t BiasBackwardWorkspaceBytes(std::int64_t max_rows, std::int64_t channels);
void BiasBackward(const Exec& exec, const BiasBackwardArgs& args);

}  // namespace sequela
