#include "kernels/cuda/exp.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/swiglu_kernels.h"

namespace sequela::cuda {

// exp(-g), kept finite so that 1 - sigmoid can be formed as a product: beyond 87 the sigmoid is
// below the smallest normal float. Where the gate is a NaN the results are too, by their factor g.
__device__ inline float ExpOfMinus(float gate) { return Exp(fminf(87.0F, -gate)); }

template <typename T>
__device__ void ForwardRow(const SwigluForwardParams<T>& p) {
  constexpr int N = PackSize<T>();
  const std::int64_t row = RowOf(p.work);
  ForPacks<N>(p.work, row, [&](std::uint32_t i, auto part) {
    const T* gates = p.gate_up.Row(row) + i;
    const Floats<N> gate = LoadFloats<N>(gates, part);
    Floats<N> out = LoadFloats<N>(gates + p.work.columns, part);
#pragma unroll
    for (int j = 0; j < N; ++j) out.v[j] *= gate.v[j] / (1.0F + ExpOfMinus(gate.v[j]));
    StoreFloats(out, p.out.Row(row) + i, part);
  });
}

// d_up = d silu(g), d_gate = d up s (1 + g (1 - s)) with s the sigmoid of g.
template <typename T>
__device__ void BackwardRow(const SwigluBackwardParams<T>& p) {
  constexpr int N = PackSize<T>();
  const std::int64_t row = RowOf(p.work);
  ForPacks<N>(p.work, row, [&](std::uint32_t i, auto part) {
    const T* gates = p.gate_up.Row(row) + i;
    Floats<N> gate = LoadFloats<N>(gates, part);
    Floats<N> up = LoadFloats<N>(gates + p.work.columns, part);
    const Floats<N> d_out = LoadFloats<N>(p.d_out.Row(row) + i, part);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float exp_minus = ExpOfMinus(gate.v[j]);
      const float sigmoid = 1.0F / (1.0F + exp_minus);
      const float slope = sigmoid * fmaf(gate.v[j], exp_minus * sigmoid, 1.0F);
      const float d_up = d_out.v[j] * (gate.v[j] * sigmoid);
      gate.v[j] = d_out.v[j] * up.v[j] * slope;
      up.v[j] = d_up;
    }
    T* d_gates = p.d_gate_up.Row(row) + i;
    StoreFloats(gate, d_gates, part);
    StoreFloats(up, d_gates + p.work.columns, part);
  });
}

SEQUELA_ROW_KERNEL sequela_swiglu_forward_f32(SwigluForwardParams<float> p) { ForwardRow(p); }
SEQUELA_ROW_KERNEL sequela_swiglu_forward_bf16(SwigluForwardParams<bf16> p) { ForwardRow(p); }
SEQUELA_ROW_KERNEL sequela_swiglu_backward_f32(SwigluBackwardParams<float> p) { BackwardRow(p); }
SEQUELA_ROW_KERNEL sequela_swiglu_backward_bf16(SwigluBackwardParams<bf16> p) { BackwardRow(p); }

}  // namespace sequela::cuda
