#include "kernels/cuda/adamw_kernels.h"
#include "kernels/cuda/rows.cuh"

namespace sequela::cuda {

// One pass: 28 bytes an element, 30 with weights. The same roundings as kernels/cpu/adamw.cc.
SEQUELA_ROW_KERNEL sequela_adamw(AdamwParams p) {
  constexpr int N = PackSize<float>();
  const std::int64_t row = RowOf(p.work);
  ForPacks<N>(p.work, row, [&](std::uint32_t i, auto part) {
    Floats<N> master = LoadFloats<N>(p.master.Row(row) + i, part);
    Floats<N> m = LoadFloats<N>(p.m.Row(row) + i, part);
    Floats<N> v = LoadFloats<N>(p.v.Row(row) + i, part);
    const Floats<N> gradient = LoadFloats<N>(p.gradient.Row(row) + i, part);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float g = gradient.v[j] * p.gradient_scale;
      m.v[j] = fmaf(p.take_m, g - m.v[j], m.v[j]);
      v.v[j] = fmaf(p.take_v * g, g, p.keep_v * v.v[j]);
      const float denominator = fmaf(sqrtf(v.v[j]), p.root_scale, p.epsilon);
      master.v[j] = fmaf(-p.step_size, m.v[j] / denominator, master.v[j] * p.keep);
    }
    StoreFloats(m, p.m.Row(row) + i, part);
    StoreFloats(v, p.v.Row(row) + i, part);
    StoreFloats(master, p.master.Row(row) + i, part);
    if (p.weights.data != nullptr) StoreFloats(master, p.weights.Row(row) + i, part);
  });
}

}  // namespace sequela::cuda
