// Forward moves 6 bytes an element in bf16: a GPU whose memory delivers 32 of them a cycle to each
// multiprocessor leaves some 40 instructions for an element. Hence no branch and no test that the
// arithmetic does not need.
#include "kernels/cuda/exp.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/swiglu_kernels.h"

namespace sequela::cuda {

// exp(-g), kept between the smallest and the largest of which 1 / (1 + exp(-g)) and 1 - sigmoid can
// be formed: beyond 87 one of them is below the smallest normal float. Where the gate is a NaN the
// results are too, by their factor g.
__device__ inline float ExpOfMinus(float gate) {
  return ExpInRange(fmaxf(-87.0F, fminf(87.0F, -gate)));
}

template <typename T>
__device__ void ForwardRow(const SwigluForwardParams<T>& p) {
  constexpr int N = PackSize<T>();
  struct GateUp {
    Pack<T, N> gate, up;
  };
  const std::int64_t row = RowOf(p.work);
  const T* gates = p.gate_up.Row(row);
  T* to = p.out.Row(row);
  ForPackBatches<N, kSwigluBatch>(
      p.work, row,
      [&](std::uint32_t i, auto part) {
        GateUp loaded;
        loaded.gate = Load<N>(gates + i, part);
        loaded.up = Load<N>(gates + p.work.columns + i, part);
        return loaded;
      },
      [&](const GateUp& loaded, std::uint32_t i, auto part) {
        const Floats<N> gate = Unpack(loaded.gate);
        Floats<N> out = Unpack(loaded.up);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          out.v[j] *= gate.v[j] * ReciprocalInRange(1.0F + ExpOfMinus(gate.v[j]));
        }
        StoreFloats(out, to + i, part);
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
      const float sigmoid = ReciprocalInRange(1.0F + exp_minus);
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

SEQUELA_ROW_KERNEL_OF(4) sequela_swiglu_forward_f32(SwigluForwardParams<float> p) { ForwardRow(p); }
SEQUELA_ROW_KERNEL_OF(4) sequela_swiglu_forward_bf16(SwigluForwardParams<bf16> p) { ForwardRow(p); }
SEQUELA_ROW_KERNEL_OF(4) sequela_swiglu_backward_f32(SwigluBackwardParams<float> p) {
  BackwardRow(p);
}
SEQUELA_ROW_KERNEL_OF(4) sequela_swiglu_backward_bf16(SwigluBackwardParams<bf16> p) {
  BackwardRow(p);
}

}  // namespace sequela::cuda
