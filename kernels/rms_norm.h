// RMSNorm (Zhang and Sennrich 2019) over groups of D channels, with the residual addition before it
// in the same pass:
//   r = residual_in + x  (or x)     y = r * rstd * gain     rstd = 1 / sqrt(mean(r^2) + epsilon)
// One group per row is the usual norm of a block; heads as groups (columns = N * H, D = H) is
// QK-norm. D is the size of `gain`; T rows; G = columns / D groups a row. Arithmetic in fp32.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"

namespace sequela {

// All matrices are [T, G * D], fp32 or bf16, rows at any stride, and x and residual may differ in
// dtype; y's dtype is free where there is no residual and x's otherwise.
struct RmsNormForwardArgs {
  ConstTensorView x;              // read
  ConstTensorView residual_in{};  // read; empty (no data) for a norm without addition
  TensorView residual_out{};  // residual_in's dtype; written where residual_in is given, else must
                              //   be empty. May be the same memory as residual_in (not as x)
  std::span<const float> gain;  // [D]; read
  TensorView y;                 // written in full; may be the same memory as x
  std::span<float> rstd{};      // [T * G]; written; RmsNormBackward reads it. May be empty
  float epsilon;
};
// REQUIRES: columns divisible by D. The norm is taken of residual_out as stored (after rounding),
// so that backward sees the same numbers.
void RmsNormForward(const Exec& exec, const RmsNormForwardArgs& args);

struct RmsNormBackwardArgs {
  ConstTensorView d_y;    // fp32 or bf16; read
  ConstTensorView input;  // what was normalised: residual_out, or x where there was none; read
  ConstTensorView d_residual{};  // gradient that reaches residual_out by its other path, in input's
                                 //   dtype; empty where there is none; read
  std::span<const float> gain;   // [D]; read
  std::span<const float> rstd;   // [T * G] of the forward; read
  TensorView d_input;       // input's dtype; written in full = the norm's gradient + d_residual;
                            //   the gradient of x and of residual_in alike. May be the same
                            //   memory as d_residual, or as d_y where the dtypes agree
  std::span<float> d_gain;  // [D]; the gradient is added
};
std::int64_t RmsNormBackwardWorkspaceBytes(std::int64_t max_rows, std::int64_t gain_size);
void RmsNormBackward(const Exec& exec, const RmsNormBackwardArgs& args);

}  // namespace sequela
