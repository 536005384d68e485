// With n = input * rstd and a = gain * d_y: d_input = rstd (a - n mean(a n)), d_gain = d_y n.
// A block takes a piece of rows, several groups at once, and keeps d_gain's sums in registers until
// the piece ends; then those of the groups side by side are added in order.
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/reduce.cuh"

namespace sequela::cuda {

// One group, by the threads that share it.
template <bool kVectors, typename DY, typename In>
struct GroupBackward {
  static constexpr int N = PackSize<DY, In>();

  GroupShare<N, kVectors> share;
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

  // Adds a pack's part of the sum of a n.
  template <typename Part>
  __device__ float AddDot(float sum, const Floats<N>& dy, const Floats<N>& in, std::uint32_t i,
                          Part part) const {
    const Floats<N> gains = LoadFloats<N>(gain + i, part);
#pragma unroll
    for (int j = 0; j < N; ++j) sum = fmaf(dy.v[j] * gains.v[j], in.v[j] * rstd, sum);
    return sum;
  }
  // Stores a pack of d_input and adds the pack's part of d_gain to `sums`.
  template <typename Part>
  __device__ void Finish(const Floats<N>& dy, const Floats<N>& in, float mean, std::uint32_t i,
                         Part part, Floats<N>& sums) const {
    const Floats<N> gains = LoadFloats<N>(gain + i, part);
    Floats<N> gradient = {};
    if (d_residual != nullptr) gradient = LoadFloats<N>(d_residual + i, part);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float normed = in.v[j] * rstd;
      gradient.v[j] += rstd * fmaf(-normed, mean, dy.v[j] * gains.v[j]);
      sums.v[j] = fmaf(dy.v[j], normed, sums.v[j]);
    }
    StoreFloats(gradient, d_input + i, part);
  }

  // The whole group. Its part of d_gain is added to `sums` of the kept packs, and to `more_sums`
  // in memory for the others.
  __device__ void Run(const NormWork& work, float* warp_sums, Floats<N> (&sums)[kKeptPacks],
                      float* more_sums) const {
    Pack<DY, N> kept_dy[kKeptPacks];
    Pack<In, N> kept_in[kKeptPacks];
    float dot = 0.0F;
    share.ForKept([&](int k, std::uint32_t i, auto part) {
      kept_dy[k] = Load<N>(d_y + i, part);
      kept_in[k] = Load<N>(input + i, part);
    });
    share.ForKept([&](int k, std::uint32_t i, auto part) {
      dot = AddDot(dot, Unpack(kept_dy[k]), Unpack(kept_in[k]), i, part);
    });
    share.ForBeyond([&](std::uint32_t i, auto part) {
      dot = AddDot(dot, LoadFloats<N>(d_y + i, part), LoadFloats<N>(input + i, part), i, part);
    });
    const float mean = GroupSum(dot, work.log2_threads, warp_sums) / static_cast<float>(work.size);
    share.ForKept([&](int k, std::uint32_t i, auto part) {
      Finish(Unpack(kept_dy[k]), Unpack(kept_in[k]), mean, i, part, sums[k]);
    });
    share.ForBeyond([&](std::uint32_t i, auto part) {
      Floats<N> sum = LoadFloats<N>(more_sums + i, part);
      Finish(LoadFloats<N>(d_y + i, part), LoadFloats<N>(input + i, part), mean, i, part, sum);
      StoreFloats(sum, more_sums + i, part);
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

template <bool kVectors, typename DY, typename In>
__device__ inline void BackwardPiece(const RmsNormBackwardParams<DY, In>& p) {
  constexpr int N = PackSize<DY, In>();
  __shared__ float warp_sums[kMaxNormThreads / kWarpThreads];
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
  const GroupShare<N, kVectors> share(p.work, true);
  share.ForBeyond([&](std::uint32_t i, auto part) { StoreFloats(Floats<N>{}, my_sums + i, part); });

  Floats<N> sums[kKeptPacks] = {};
  for (std::uint32_t first = 0; first < groups; first += slots) {
    const std::uint32_t group = first + slot;
    const std::uint32_t row = group / p.work.groups;
    const GroupBackward<kVectors, DY, In> backward(p, first_row + row, group - row * p.work.groups,
                                                   group < groups);
    backward.Run(p.work, warp_sums, sums, my_sums);
  }
  share.ForKept(
      [&](int k, std::uint32_t i, auto part) { StoreFloats(sums[k], my_sums + i, part); });
  if (slots > 1) AddSlots(slot_sums, slots, p.work.size, partials);
}

template <typename DY, typename In>
__device__ inline void Backward(const RmsNormBackwardParams<DY, In>& p) {
  p.work.vectors ? BackwardPiece<true>(p) : BackwardPiece<false>(p);
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
