#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/time_rope_kernels.h"

namespace sequela::cuda {

// Two packs of a head, whose elements are turned in pairs: (a, b) -> (a cos - b sin, b cos + a
// sin).
template <int N, typename T>
struct HeadPacks {
  Pack<T, N> first, second;

  template <typename Part>
  __device__ HeadPacks(const T* x, std::uint32_t pairs, Part part)
      : first(Load<N>(x, part)), second(Load<N>(x + pairs, part)) {}

  template <typename Part>
  __device__ void StoreTurned(const Floats<N>& c, const Floats<N>& s, T* x, std::uint32_t pairs,
                              Part part) const {
    Floats<N> a = Unpack(first);
    Floats<N> b = Unpack(second);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float turned = fmaf(-b.v[j], s.v[j], a.v[j] * c.v[j]);
      b.v[j] = fmaf(a.v[j], s.v[j], b.v[j] * c.v[j]);
      a.v[j] = turned;
    }
    StoreFloats(a, x, part);
    StoreFloats(b, x + pairs, part);
  }
};

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
      if (first_head >= p.heads) return;
      const Floats<N> c = LoadFloats<N>(p.cos.Row(row) + i, part);
      Floats<N> s = LoadFloats<N>(p.sin.Row(row) + i, part);
      T* x = p.x.Row(row) + first_head * 2 * p.pairs + i;
      HeadPacks<N, T> packs(x, p.pairs, part);  // on their way before the tables are waited for
#pragma unroll
      for (float& sine : s.v) sine *= p.direction;
      packs.StoreTurned(c, s, x, p.pairs, part);
      for (std::uint32_t head = first_head + head_step; head < p.heads; head += head_step) {
        x += head_step * 2 * p.pairs;
        HeadPacks<N, T>(x, p.pairs, part).StoreTurned(c, s, x, p.pairs, part);
      }
    });
  }
}

SEQUELA_ROW_KERNEL_OF(4) sequela_time_rope_f32(TimeRopeParams<float> p) { TurnRow(p); }
SEQUELA_ROW_KERNEL_OF(4) sequela_time_rope_bf16(TimeRopeParams<bf16> p) { TurnRow(p); }

}  // namespace sequela::cuda
