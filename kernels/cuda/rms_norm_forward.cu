// Memory once: a group's packs stay in registers between the sum of squares and the scaling. A
// group of up to 128 packs is one warp's or a part of one, which needs no barrier.
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/reduce.cuh"

namespace sequela::cuda {

template <int N>
__device__ inline float AddSquares(float sum, const Floats<N>& values) {
#pragma unroll
  for (const float value : values.v) sum = fmaf(value, value, sum);
  return sum;
}

template <int N>
__device__ inline Floats<N> SumOf(const Floats<N>& a, const Floats<N>& b) {
  Floats<N> sum;
#pragma unroll
  for (int j = 0; j < N; ++j) sum.v[j] = a.v[j] + b.v[j];
  return sum;
}

// A thread's packs that stay in registers, of what is normalised.
template <typename In, int N>
using KeptPacks = Pack<In, N>[kKeptPacks];

// Takes x as it is. Returns the sum of this thread's squares.
template <bool kVectors, int N, typename In>
__device__ inline float ReadGroup(const GroupShare<N, kVectors>& share, const In* x,
                                  KeptPacks<In, N>& kept) {
  float squares = 0.0F;
  share.ForKept([&](int k, std::uint32_t i, auto part) { kept[k] = Load<N>(x + i, part); });
  share.ForKept(
      [&](int k, std::uint32_t, auto) { squares = AddSquares(squares, Unpack(kept[k])); });
  share.ForBeyond([&](std::uint32_t i, auto part) {
    squares = AddSquares(squares, LoadFloats<N>(x + i, part));
  });
  return squares;
}

// Stores x + residual_in and takes the sum as it is stored. Likewise.
template <bool kVectors, int N, typename X, typename In>
__device__ inline float AddGroup(const GroupShare<N, kVectors>& share, const X* x,
                                 const In* residual_in, In* residual_out, KeptPacks<In, N>& kept) {
  float squares = 0.0F;
  Pack<X, N> kept_x[kKeptPacks];
  share.ForKept([&](int k, std::uint32_t i, auto part) {
    kept_x[k] = Load<N>(x + i, part);
    kept[k] = Load<N>(residual_in + i, part);
  });
  share.ForKept([&](int k, std::uint32_t i, auto part) {
    kept[k] = PackAs<In>(SumOf(Unpack(kept[k]), Unpack(kept_x[k])));
    Store(kept[k], residual_out + i, part);
    squares = AddSquares(squares, Unpack(kept[k]));
  });
  share.ForBeyond([&](std::uint32_t i, auto part) {
    const Floats<N> residual = LoadFloats<N>(residual_in + i, part);
    const auto sum = PackAs<In>(SumOf(residual, LoadFloats<N>(x + i, part)));
    Store(sum, residual_out + i, part);
    squares = AddSquares(squares, Unpack(sum));
  });
  return squares;
}

// y = in * rstd * gain, `in` being what was taken; beyond the kept packs it is read again.
template <bool kVectors, int N, typename In, typename Y>
__device__ inline void ScaleGroup(const GroupShare<N, kVectors>& share,
                                  const KeptPacks<In, N>& kept, const In* in, float rstd,
                                  const float* gain, Y* y) {
  const auto scale = [&](const Floats<N>& values, std::uint32_t i, auto part) {
    Floats<N> scaled = LoadFloats<N>(gain + i, part);
#pragma unroll
    for (int j = 0; j < N; ++j) scaled.v[j] = values.v[j] * rstd * scaled.v[j];
    StoreFloats(scaled, y + i, part);
  };
  share.ForKept([&](int k, std::uint32_t i, auto part) { scale(Unpack(kept[k]), i, part); });
  share.ForBeyond([&](std::uint32_t i, auto part) { scale(LoadFloats<N>(in + i, part), i, part); });
}

// One group: what is normalised is x or, where kAdd, the sum as stored.
template <bool kAdd, bool kVectors, typename X, typename In, typename Y>
__device__ inline void NormGroup(const RmsNormForwardParams<X, In, Y>& p) {
  constexpr int N = PackSize<X, In, Y>();
  __shared__ float warp_sums[kMaxNormThreads / kWarpThreads];
  const std::int64_t group =
      (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) >> p.work.log2_threads;
  const auto row = static_cast<std::int64_t>(static_cast<std::uint64_t>(group) / p.work.groups);
  const bool inside = row < p.work.rows;
  const std::int64_t column = (group - row * p.work.groups) * p.work.size;
  const GroupShare<N, kVectors> share(p.work, inside);
  const X* x = p.x.Row(row) + column;
  In* residual_out = p.residual_out.Row(row) + column;

  KeptPacks<In, N> kept;
  float squares;
  if constexpr (kAdd) {
    squares = AddGroup(share, x, p.residual_in.Row(row) + column, residual_out, kept);
  } else {
    squares = ReadGroup(share, x, kept);
  }
  const float square_sum = GroupSum(squares, p.work.log2_threads, warp_sums);
  const float rstd = 1.0F / sqrtf(square_sum / static_cast<float>(p.work.size) + p.epsilon);
  if (inside && share.first == 0 && p.rstd != nullptr) p.rstd[group] = rstd;
  const In* in;
  if constexpr (kAdd) {
    in = residual_out;
  } else {
    in = x;
  }
  ScaleGroup(share, kept, in, rstd, p.gain, p.y.Row(row) + column);
}

template <bool kAdd, typename X, typename In, typename Y>
__device__ inline void Norm(const RmsNormForwardParams<X, In, Y>& p) {
  p.work.vectors ? NormGroup<kAdd, true>(p) : NormGroup<kAdd, false>(p);
}

#define NORM_KERNEL(name, X, In, Y, add)                                                     \
  SEQUELA_KERNEL __launch_bounds__(kMaxNormThreads) name(RmsNormForwardParams<X, In, Y> p) { \
    Norm<add>(p);                                                                            \
  }

NORM_KERNEL(sequela_rms_norm_f32_f32, float, float, float, false)
NORM_KERNEL(sequela_rms_norm_f32_bf16, float, float, bf16, false)
NORM_KERNEL(sequela_rms_norm_bf16_f32, bf16, bf16, float, false)
NORM_KERNEL(sequela_rms_norm_bf16_bf16, bf16, bf16, bf16, false)
NORM_KERNEL(sequela_add_rms_norm_f32_f32, float, float, float, true)
NORM_KERNEL(sequela_add_rms_norm_f32_bf16, float, bf16, float, true)
NORM_KERNEL(sequela_add_rms_norm_bf16_f32, bf16, float, bf16, true)
NORM_KERNEL(sequela_add_rms_norm_bf16_bf16, bf16, bf16, bf16, true)

}  // namespace sequela::cuda
