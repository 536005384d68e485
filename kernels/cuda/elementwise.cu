// Bound by memory: a block's threads hold one pack each of every operand in flight, and enough
// blocks fit a multiprocessor (32 registers a thread) to cover the latency.
#include "kernels/cuda/elementwise_kernels.h"
#include "kernels/cuda/rows.cuh"

namespace sequela::cuda {

template <typename From, typename To>
__device__ void CastRow(const CastParams<From, To>& p) {
  constexpr int N = PackSize<From, To>();
  const std::int64_t row = RowOf(p.work);
  ForPacks<N>(p.work, row, [&](std::uint32_t i, auto part) {
    StoreFloats(LoadFloats<N>(p.from.Row(row) + i, part), p.to.Row(row) + i, part);
  });
}

template <typename A, typename B>
__device__ void AddRow(const AddParams<A, B>& p) {
  constexpr int N = PackSize<A, B>();
  const std::int64_t row = RowOf(p.work);
  ForPacks<N>(p.work, row, [&](std::uint32_t i, auto part) {
    Floats<N> sum = LoadFloats<N>(p.a.Row(row) + i, part);
    const Floats<N> b = LoadFloats<N>(p.b.Row(row) + i, part);
#pragma unroll
    for (int j = 0; j < N; ++j) sum.v[j] += b.v[j];
    StoreFloats(sum, p.out.Row(row) + i, part);
  });
}

SEQUELA_ROW_KERNEL sequela_cast_f32_f32(CastParams<float, float> p) { CastRow(p); }
SEQUELA_ROW_KERNEL sequela_cast_f32_bf16(CastParams<float, bf16> p) { CastRow(p); }
SEQUELA_ROW_KERNEL sequela_cast_bf16_f32(CastParams<bf16, float> p) { CastRow(p); }
SEQUELA_ROW_KERNEL sequela_cast_bf16_bf16(CastParams<bf16, bf16> p) { CastRow(p); }

SEQUELA_ROW_KERNEL sequela_add_f32_f32(AddParams<float, float> p) { AddRow(p); }
SEQUELA_ROW_KERNEL sequela_add_f32_bf16(AddParams<float, bf16> p) { AddRow(p); }
SEQUELA_ROW_KERNEL sequela_add_bf16_f32(AddParams<bf16, float> p) { AddRow(p); }
SEQUELA_ROW_KERNEL sequela_add_bf16_bf16(AddParams<bf16, bf16> p) { AddRow(p); }

SEQUELA_ROW_KERNEL sequela_fill_zero(FillZeroParams p) {
  constexpr int N = PackSize<bf16>();
  const std::int64_t row = RowOf(p.work);
  ForPacks<N>(p.work, row,
              [&](std::uint32_t i, auto part) { Store(Pack<bf16, N>{}, p.x.Row(row) + i, part); });
}

}  // namespace sequela::cuda
