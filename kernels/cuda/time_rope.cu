#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/time_rope_kernels.h"

namespace sequela::cuda {

// (a, b) -> (a cos - b sin, b cos + a sin).
template <int N, typename T, typename Part>
__device__ inline void TurnPack(T* first, T* second, const Floats<N>& c, const Floats<N>& s,
                                Part part) {
  Floats<N> a = LoadFloats<N>(first, part);
  Floats<N> b = LoadFloats<N>(second, part);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float turned = fmaf(-b.v[j], s.v[j], a.v[j] * c.v[j]);
    b.v[j] = fmaf(a.v[j], s.v[j], b.v[j] * c.v[j]);
    a.v[j] = turned;
  }
  StoreFloats(a, first, part);
  StoreFloats(b, second, part);
}

template <typename T>
__device__ void TurnRow(const TimeRopeParams<T>& p) {
  constexpr int N = PackSize<T>();
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.x) * (kRowThreads >> p.log2_row_threads) +
      (threadIdx.x >> p.log2_row_threads);
  if (row >= p.rows) return;
  const std::uint32_t in_row = threadIdx.x & ((1U << p.log2_row_threads) - 1);
  const std::uint32_t pack_threads = 1U << p.log2_pack_threads;
  const std::uint32_t first_head = in_row >> p.log2_pack_threads;
  const std::uint32_t head_step = 1U << (p.log2_row_threads - p.log2_pack_threads);
  for (std::uint32_t i = (in_row & (pack_threads - 1)) * N; i < p.pairs; i += pack_threads * N) {
    WithPart<N>(p.pairs - i, p.vectors, [&](auto part) {
      const Floats<N> c = LoadFloats<N>(p.cos.Row(row) + i, part);
      Floats<N> s = LoadFloats<N>(p.sin.Row(row) + i, part);
#pragma unroll
      for (float& sine : s.v) sine *= p.direction;
      for (std::uint32_t head = first_head; head < p.heads; head += head_step) {
        T* first = p.x.Row(row) + head * 2 * p.pairs + i;
        TurnPack<N>(first, first + p.pairs, c, s, part);
      }
    });
  }
}

SEQUELA_ROW_KERNEL sequela_time_rope_f32(TimeRopeParams<float> p) { TurnRow(p); }
SEQUELA_ROW_KERNEL sequela_time_rope_bf16(TimeRopeParams<bf16> p) { TurnRow(p); }

}  // namespace sequela::cuda
