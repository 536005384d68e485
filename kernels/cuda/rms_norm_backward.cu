// With n = input * rstd and a = gain * d_y: d_input = rstd (a - n mean(a n)), d_gain = d_y n.
// A block takes a piece of rows, several groups at once, and keeps d_gain's sums in registers until
// the piece ends; then those of the groups side by side are added in order.
// Bound by memory: all that a group wants is loaded before the first use, 192 bytes a thread, and
// blocks are small, so that four of a multiprocessor (128 registers a thread) are at different
// places of a group's two looks.
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/reduce.cuh"

namespace sequela::cuda {

// One group, by the threads that share it. kKeep: all of their packs in registers; else none.
template <bool kVectors, bool kKeep, typename DY, typename In>
struct GroupBackward {
  static constexpr int N = PackSize<DY, In>();
  using Share = GroupShare<N, kVectors, kKeep ? kKeptPacks : 0>;

  Share share;
  const DY* d_y;
  const In* input;
  const In* d_residual;  // or null
  In* d_input;
  const float* gain;
  float rstd;

  __device__ GroupBackward(const RmsNormBackwardParams<DY, In>& p, std::int64_t row,
                           std::uint32_t group, bool inside)
      : share(p.work, inside),
        d_y(p.d_y.Row(row) + group * p.work.size),
        input(p.input.Row(row) + group * p.work.size),
        d_residual(p.d_residual.data == nullptr ? nullptr
                                                : p.d_residual.Row(row) + group * p.work.size),
        d_input(p.d_input.Row(row) + group * p.work.size),
        gain(p.gain),
        rstd(inside ? p.rstd[row * p.work.groups + group] : 0.0F) {}

  // Adds a pack's part of the sum of a input.
  template <typename Part>
  __device__ float AddDot(float sum, const Floats<N>& dy, const Floats<N>& in, std::uint32_t i,
                          Part part) const {
    const Floats<N> gains = LoadFloats<N>(gain + i, part);
#pragma unroll
    for (int j = 0; j < N; ++j) sum = fmaf(dy.v[j] * gains.v[j], in.v[j], sum);
    return sum;
  }
  // Stores a pack of d_input and adds the pack's part of d_gain to `sums`. slope: rstd^2 mean(a n).
  template <typename Part>
  __device__ void Finish(const Floats<N>& dy, const Floats<N>& in, const Floats<N>& residual,
                         float slope, std::uint32_t i, Part part, Floats<N>& sums) const {
    Floats<N> gradient = LoadFloats<N>(gain + i, part);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float scaled = dy.v[j] * rstd;
      gradient.v[j] = residual.v[j] + fmaf(scaled, gradient.v[j], -(in.v[j] * slope));
      sums.v[j] = fmaf(scaled, in.v[j], sums.v[j]);
    }
    StoreFloats(gradient, d_input + i, part);
  }

  __device__ float MeanSlope(float dot, const NormWork& work, float* warp_sums) const {
    const float mean =
        rstd * GroupSum(dot, work.log2_threads, warp_sums) / static_cast<float>(work.size);
    return rstd * rstd * mean;
  }

  // The whole group, its packs kept. Its part of d_gain is added to `sums`.
  __device__ void RunKept(const NormWork& work, float* warp_sums,
                          Floats<N> (&sums)[kKeptPacks]) const {
    Pack<DY, N> dy[kKeptPacks];
    Pack<In, N> in[kKeptPacks];
    Pack<In, N> residual[kKeptPacks] = {};
    share.ForKept([&](int k, std::uint32_t i, auto part) {
      dy[k] = Load<N>(d_y + i, part);
      in[k] = Load<N>(input + i, part);
    });
    if (d_residual != nullptr) {
      share.ForKept(
          [&](int k, std::uint32_t i, auto part) { residual[k] = Load<N>(d_residual + i, part); });
    }
    float dot = 0.0F;
    share.ForKept([&](int k, std::uint32_t i, auto part) {
      dot = AddDot(dot, Unpack(dy[k]), Unpack(in[k]), i, part);
    });
    const float slope = MeanSlope(dot, work, warp_sums);
    share.ForKept([&](int k, std::uint32_t i, auto part) {
      Finish(Unpack(dy[k]), Unpack(in[k]), Unpack(residual[k]), slope, i, part, sums[k]);
    });
  }
  // The same reading all twice and adding to `sums` in memory.
  __device__ void RunTwice(const NormWork& work, float* warp_sums, float* sums) const {
    float dot = 0.0F;
    share.ForBeyond([&](std::uint32_t i, auto part) {
      dot = AddDot(dot, LoadFloats<N>(d_y + i, part), LoadFloats<N>(input + i, part), i, part);
    });
    const float slope = MeanSlope(dot, work, warp_sums);
    share.ForBeyond([&](std::uint32_t i, auto part) {
      Floats<N> residual = {};
      if (d_residual != nullptr) residual = LoadFloats<N>(d_residual + i, part);
      Floats<N> sum = LoadFloats<N>(sums + i, part);
      Finish(LoadFloats<N>(d_y + i, part), LoadFloats<N>(input + i, part), residual, slope, i, part,
             sum);
      StoreFloats(sum, sums + i, part);
    });
  }
};

// to[c] = the sums of the block's slots, the groups side by side, added in their order.
__device__ inline void AddSlots(const float* slot_sums, std::uint32_t slots, std::uint32_t size,
                                float* to) {
  __syncthreads();
  for (std::uint32_t c = threadIdx.x; c < size; c += blockDim.x) {
    float sum = 0.0F;
#pragma unroll 4
    for (std::uint32_t s = 0; s < slots; ++s) sum += slot_sums[s * size + c];
    to[c] = sum;
  }
}

template <bool kVectors, bool kKeep, typename DY, typename In>
__device__ inline void BackwardPiece(const RmsNormBackwardParams<DY, In>& p) {
  using Group = GroupBackward<kVectors, kKeep, DY, In>;
  constexpr int N = Group::N;
  __shared__ float warp_sums[2][kMaxNormThreads / kWarpThreads];  // taken in turn
  const std::int64_t first_row = static_cast<std::int64_t>(blockIdx.x) * p.piece_rows;
  const std::int64_t rows_left = p.work.rows - first_row;
  const auto rows = rows_left < p.piece_rows ? static_cast<std::uint32_t>(rows_left) : p.piece_rows;
  const std::uint32_t groups = rows * p.work.groups;
  const std::uint32_t slots = blockDim.x >> p.work.log2_threads;
  const std::uint32_t slot = threadIdx.x >> p.work.log2_threads;
  float* partials = p.partials + static_cast<std::int64_t>(blockIdx.x) * p.work.size;
  // Where this slot's sums end up, and those that no register keeps lie all along.
  extern __shared__ float slot_sums[];  // [slots, size] where there are several
  float* my_sums = slots == 1 ? partials : slot_sums + slot * p.work.size;
  const typename Group::Share share(p.work, true);
  share.ForBeyond([&](std::uint32_t i, auto part) { StoreFloats(Floats<N>{}, my_sums + i, part); });

  Floats<N> sums[kKeptPacks] = {};
  bool odd = false;
  for (std::uint32_t first = 0; first < groups; first += slots, odd = !odd) {
    const std::uint32_t group = first + slot;
    const std::uint32_t row = group / p.work.groups;
    const Group backward(p, first_row + row, group - row * p.work.groups, group < groups);
    if constexpr (kKeep) {
      backward.RunKept(p.work, warp_sums[odd], sums);
    } else {
      backward.RunTwice(p.work, warp_sums[odd], my_sums);
    }
  }
  share.ForKept(
      [&](int k, std::uint32_t i, auto part) { StoreFloats(sums[k], my_sums + i, part); });
  if (slots > 1) AddSlots(slot_sums, slots, p.work.size, partials);
}

template <typename DY, typename In>
__device__ inline void Backward(const RmsNormBackwardParams<DY, In>& p) {
  const std::uint32_t kept_elements = (PackSize<DY, In>() * kKeptPacks) << p.work.log2_threads;
  if (!p.work.vectors) {
    BackwardPiece<false, false>(p);
  } else if (p.work.size > kept_elements) {
    BackwardPiece<true, false>(p);
  } else {
    BackwardPiece<true, true>(p);
  }
}

#define NORM_KERNEL(name, DY, In)                                                           \
  SEQUELA_KERNEL __launch_bounds__(kMaxNormThreads) name(RmsNormBackwardParams<DY, In> p) { \
    Backward(p);                                                                            \
  }

NORM_KERNEL(sequela_rms_norm_backward_f32_f32, float, float)
NORM_KERNEL(sequela_rms_norm_backward_f32_bf16, float, bf16)
NORM_KERNEL(sequela_rms_norm_backward_bf16_f32, bf16, float)
NORM_KERNEL(sequela_rms_norm_backward_bf16_bf16, bf16, bf16)

}  // namespace sequela::cuda
