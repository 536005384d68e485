// Attention backward for sm_90a, dK and dV: bf16, head sizes 64 and 128, fp32 sums. As
// attention_dkv.cu of the family for sm_80, with the products of a warpgroup: a block keeps 64 keys
// of one key head with their values and walks over the queries that see any of them, head after
// head of those that share the key head. S^T = K Q^T and dP^T = V dO^T run one after the other, and
// probabilities are formed while dP^T is still on its way; P^T and dS^T stay in registers as the
// left sides of dV += P^T dO and dK += dS^T Q.
//   block        one warpgroup, 64 keys
//   registers    dK and dV H / 2 each (128 at head size 128), scores and gradients 2 x 32
//   shared       K and V, and of two steps Q, dO and what the mask and the softmax need of each
//                query: 50 KiB and 98 KiB
// Sizes and reasons: layout/attention_tiles.h.
#include "kernels/cuda/attention_backward.cuh"
#include "kernels/cuda/hopper/attention_tiles.cuh"

namespace sequela::cuda {
namespace {

constexpr AttentionKernelTiles kTiles = kHopperAttentionKeyGradientTiles;
constexpr int kBlocks = kTiles.step / 8;
static_assert(kTiles.owned == kWarpgroupRows && kTiles.step == kWarpgroupRows);
static_assert(kTiles.stage_extra_bytes == sizeof(AttentionRowTerms) + sizeof(KvInterval));

template <int kHeadSize>
class KeyGradient {
  static_assert(kTiles.stage_bytes(kHeadSize) % panel::kPatternBytes == 0);

 public:
  __device__ KeyGradient(const AttentionBackwardParams<bf16>& p, std::byte* shared)
      : p_(p), shared_(shared) {
    const int key_heads = p.in.num_query_heads / p.in.heads_per_key_head;
    const BlockWork work = Uniform(WorkOf(p.in.plan, p.in.plan.key_tiles, key_heads,
                                          2 * 2 * kHeadSize * p.in.heads_per_key_head));
    tile_ = work.tile;
    key_head_ = work.head;
    steps_per_head_ = (tile_.end - tile_.begin + kTiles.step - 1) / kTiles.step;
  }

  __device__ void Run() {
    const int steps = steps_per_head_ * p_.in.heads_per_key_head;
    Clear(dk_);
    Clear(dv_);
    if (steps > 0) {
      CopyOwned(p_.in.k, 0);
      CopyOwned(p_.in.v, kOwnedBytes);
      CopyStep(0);
    }
    for (int step = 0; step < steps; ++step) {
      WaitForCopies<0>();
      PublishShared();
      __syncthreads();  // the step is here, and nobody reads the other stage any more
      if (step + 1 < steps) CopyStep(step + 1);
      const KvInterval* intervals = Intervals(step);
      const int last = min(kTiles.step, tile_.end - FirstRow(step)) - 1;
      const Visible visible = VisibleOf(intervals[0], intervals[last], tile_.first, kTiles.owned);
      if (visible != Visible::kNothing) ComputeStep(step, visible);
    }
    __syncthreads();  // the other warps have read their rows of K and V
    const int row = Warp() * 16;
    StorePanels<kHeadSize, kTiles.owned>(dk_, p_.in.softmax_scale, p_.in.softmax_scale, shared_,
                                         row, p_.dk, tile_.first + row, tile_.count - row,
                                         key_head_);
    StorePanels<kHeadSize, kTiles.owned>(dv_, 1.0F, 1.0F, shared_ + kOwnedBytes, row, p_.dv,
                                         tile_.first + row, tile_.count - row, key_head_);
  }

 private:
  static constexpr int kOwnedBytes = 2 * kTiles.owned * kHeadSize;
  static constexpr int kMatrixBytes = 2 * kTiles.step * kHeadSize;
  static constexpr int kTermsAt = 2 * kMatrixBytes;  // in a stage
  static constexpr int kIntervalsAt =
      kTermsAt + kTiles.step * static_cast<int>(sizeof(AttentionRowTerms));

  // Steps of one head come together; the first row and the head of each.
  __device__ int FirstRow(int step) const {
    return tile_.begin + step % steps_per_head_ * kTiles.step;
  }
  __device__ int Head(int step) const {
    return key_head_ * p_.in.heads_per_key_head + step / steps_per_head_;
  }

  __device__ std::byte* Stage(int step) const {
    return shared_ + kTiles.owned_bytes(kHeadSize) +
           step % kTiles.stages * kTiles.stage_bytes(kHeadSize);
  }
  __device__ const KvInterval* Intervals(int step) const {
    return reinterpret_cast<const KvInterval*>(Stage(step) + kIntervalsAt);
  }

  __device__ void CopyOwned(const Rows<const bf16>& from, int place) {
    CopyPanels<kHeadSize, kTiles.owned, kTiles.threads()>(SharedAddress(shared_) + place, from,
                                                          tile_.first, tile_.count, key_head_);
  }

  __device__ void CopyStep(int step) {
    const int first = FirstRow(step), count = tile_.end - first, head = Head(step);
    const std::uint32_t stage = SharedAddress(Stage(step));
    CopyPanels<kHeadSize, kTiles.step, kTiles.threads()>(stage, p_.in.q, first, count, head);
    CopyPanels<kHeadSize, kTiles.step, kTiles.threads()>(stage + kMatrixBytes, p_.dout, first,
                                                         count, head);
    // Half of the threads bring the terms of a row each, half the intervals. Rows that are not
    // there see nothing.
    const int row = static_cast<int>(threadIdx.x) % kTiles.step;
    const bool valid = row < count;
    const int from = first + (valid ? row : 0);
    if (static_cast<int>(threadIdx.x) < kTiles.step) {
      CopyAsync8(stage + kTermsAt + row * 8, p_.terms + head * p_.num_tokens + from, valid);
    } else {
      CopyAsync4(stage + kIntervalsAt + row * 8, p_.in.plan.kv_begin + from, valid);
      CopyAsync4(stage + kIntervalsAt + row * 8 + 4, p_.in.plan.kv_end + from, valid);
    }
    CommitCopies();
  }
  static_assert(kTiles.threads() == 2 * kTiles.step);

  __device__ void ComputeStep(int step, Visible visible) {
    float scores[kBlocks][4], gradients[kBlocks][4];
    const std::uint32_t stage = SharedAddress(Stage(step)), owned = SharedAddress(shared_);
    FenceRegisters();
    MultiplyRowsAsync<kHeadSize, kTiles.owned>(scores, owned, 0, stage);
    CommitProducts();
    MultiplyRowsAsync<kHeadSize, kTiles.owned>(gradients, owned + kOwnedBytes, 0,
                                               stage + kMatrixBytes);
    CommitProducts();
    WaitForProducts<1>();
    PinRegisters(scores);
    Probabilities(step, visible == Visible::kAll, scores);
    WaitForProducts<0>();
    PinRegisters(gradients);
    Fragment probabilities[4], weights[4];
    PackRows(scores, probabilities);
    PinRegisters(dv_);
    FenceRegisters();
    AddWeightedRowsAsync<kHeadSize>(dv_, probabilities, stage + kMatrixBytes);
    CommitProducts();
    ScoreGradients(step, scores, gradients);
    PackRows(gradients, weights);
    PinRegisters(dk_);
    FenceRegisters();
    AddWeightedRowsAsync<kHeadSize>(dk_, weights, stage);
    CommitProducts();
    WaitForProducts<0>();
    PinRegisters(dk_);
    PinRegisters(dv_);
  }

  __device__ const AttentionRowTerms* Terms(int step) const {
    return reinterpret_cast<const AttentionRowTerms*>(Stage(step) + kTermsAt);
  }

  // Columns are queries: the lane's two neighbours of each 16 x 8.
  __device__ void Probabilities(int step, bool all, float (&scores)[kBlocks][4]) const {
    const float c = p_.in.softmax_scale * kLog2E;
    const int key = tile_.first + Warp() * 16 + mma::AccumulatorRow(Lane(), 0);
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = n * 8 + mma::AccumulatorColumn(Lane(), i);
        const AttentionRowTerms of_row = Terms(step)[row];
        const KvInterval sees = all ? KvInterval{key, key + 9} : Intervals(step)[row];
        scores[n][i] = Probability(c, of_row, sees.Has(key), scores[n][i]);
        scores[n][i + 2] = Probability(c, of_row, sees.Has(key + 8), scores[n][i + 2]);
      }
    }
  }

  __device__ void ScoreGradients(int step, const float (&scores)[kBlocks][4],
                                 float (&gradients)[kBlocks][4]) const {
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = n * 8 + mma::AccumulatorColumn(Lane(), i);
        gradients[n][i] = scores[n][i] * (gradients[n][i] - Terms(step)[row].delta);
      }
    }
  }

  const AttentionBackwardParams<bf16>& p_;
  std::byte* shared_;
  AttentionTile tile_;
  int key_head_;
  int steps_per_head_;
  float dk_[kHeadSize / 8][4], dv_[kHeadSize / 8][4];
};

}  // namespace

SEQUELA_KERNEL __launch_bounds__(kTiles.threads(), 3)
    sequela_attention_dkv_64_hopper(AttentionBackwardParams<bf16> p) {
  extern __shared__ __align__(1024) std::byte shared[];
  KeyGradient<64>(p, shared).Run();
}
SEQUELA_KERNEL __launch_bounds__(kTiles.threads(), 2)
    sequela_attention_dkv_128_hopper(AttentionBackwardParams<bf16> p) {
  extern __shared__ __align__(1024) std::byte shared[];
  KeyGradient<128>(p, shared).Run();
}

}  // namespace sequela::cuda
