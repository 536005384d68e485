// SwiGLU, forward and backward (kernels/swiglu.h).
#pragma once

#include "kernels/cuda/row_kernels.h"

namespace sequela::cuda {

inline constexpr int kSwigluBatch =
    2;  // packs of each operand that a thread of forward loads at once

template <typename T>
struct SwigluForwardParams {
  RowWork work;  // of out
  Rows<const T> gate_up;
  Rows<T> out;
};
SEQUELA_KERNEL sequela_swiglu_forward_f32(SwigluForwardParams<float> p);
SEQUELA_KERNEL sequela_swiglu_forward_bf16(SwigluForwardParams<bf16> p);

template <typename T>
struct SwigluBackwardParams {
  RowWork work;  // of d_out
  Rows<const T> gate_up;
  Rows<const T> d_out;
  Rows<T> d_gate_up;
};
SEQUELA_KERNEL sequela_swiglu_backward_f32(SwigluBackwardParams<float> p);
SEQUELA_KERNEL sequela_swiglu_backward_bf16(SwigluBackwardParams<bf16> p);

}  // namespace sequela::cuda
