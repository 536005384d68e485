// SwiGLU (Shazeer 2020): out = silu(gate) * up, silu(g) = g / (1 + exp(-g)).
// T rows, F channels. Arithmetic in fp32. All matrices of one dtype (fp32 or bf16), rows at any
// stride.
#pragma once

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"

namespace sequela {

struct SwigluForwardArgs {
  ConstTensorView gate_up_T2F;  // [T, 2 F]: the gates, then the ups; read
  TensorView out_TF;            // [T, F]; written in full
};
void SwigluForward(const Exec& exec, const SwigluForwardArgs& args);

struct SwigluBackwardArgs {
  ConstTensorView gate_up_T2F;  // as in forward
  ConstTensorView d_out_TF;     // read
  TensorView d_gate_up_T2F;     // written in full; may be the same memory as gate_up
};
void SwigluBackward(const Exec& exec, const SwigluBackwardArgs& args);

}  // namespace sequela
