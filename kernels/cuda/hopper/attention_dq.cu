// Attention backward for sm_90a, dQ: bf16, head sizes 64 and 128, fp32 sums. As attention_dq.cu of
// the family for sm_80, with the products of a warpgroup: S = Q K^T and dP = dO V^T run one after
// the other, and probabilities are formed while dP is still on its way; dS = P (dP - delta) stays
// in registers as the left side of dQ += dS K.
//   block        one warpgroup, 64 queries
//   registers    dQ H / 2 (64 at head size 128), scores and their gradients 2 x 32 a thread
//   shared       Q and dO, and K and V of two steps: 48 KiB and 96 KiB
// Sizes and reasons: layout/attention_tiles.h.
#include "kernels/cuda/attention_backward.cuh"
#include "kernels/cuda/hopper/attention_tiles.cuh"

namespace sequela::cuda {
namespace {

constexpr AttentionKernelTiles kTiles = kHopperAttentionQueryGradientTiles;
constexpr int kBlocks = kTiles.step / 8;
static_assert(kTiles.owned == kWarpgroupRows && kTiles.step == kWarpgroupRows);

template <int kHeadSize>
class QueryGradient {
 public:
  __device__ QueryGradient(const AttentionBackwardParams<bf16>& p, std::byte* shared)
      : p_(p), shared_(shared) {
    const BlockWork work =
        Uniform(WorkOf(p.in.plan, p.in.plan.query_tiles, p.in.num_query_heads, 2 * 2 * kHeadSize));
    tile_ = work.tile;
    head_ = work.head;
  }

  __device__ void Run() {
    const WarpIntervals rows = IntervalsOf(p_.in.plan, tile_.first, tile_.count);
    const KvInterval first = Uniform(rows.first), last = Uniform(rows.last);
    const int steps = (tile_.end - tile_.begin + kTiles.step - 1) / kTiles.step;
    Clear(dq_);
    LoadTerms();
    if (steps > 0) {
      CopyOwned(p_.in.q, 0);
      CopyOwned(p_.dout, kOwnedBytes);
      CopyStep(0);
    }
    for (int step = 0; step < steps; ++step) {
      WaitForCopies<0>();
      PublishShared();
      __syncthreads();  // the step is here, and nobody reads the other stage any more
      if (step + 1 < steps) CopyStep(step + 1);
      const int key = tile_.begin + step * kTiles.step;
      const Visible visible = VisibleOf(first, last, key, kTiles.step);
      if (visible != Visible::kNothing) ComputeStep(step, key, visible);
    }
    __syncthreads();  // the other warps have read their rows of Q
    const int row = Warp() * 16;
    StorePanels<kHeadSize, kTiles.owned>(dq_, p_.in.softmax_scale, p_.in.softmax_scale, shared_,
                                         row, p_.dq, tile_.first + row, tile_.count - row, head_);
  }

 private:
  static constexpr int kOwnedBytes = 2 * kTiles.owned * kHeadSize;
  static constexpr int kMatrixBytes = 2 * kTiles.step * kHeadSize;

  __device__ std::uint32_t Stage(int step) const {
    return SharedAddress(shared_) + kTiles.owned_bytes(kHeadSize) +
           step % kTiles.stages * kTiles.stage_bytes(kHeadSize);
  }

  __device__ void CopyOwned(const Rows<const bf16>& from, int place) {
    CopyPanels<kHeadSize, kTiles.owned, kTiles.threads()>(SharedAddress(shared_) + place, from,
                                                          tile_.first, tile_.count, head_);
  }

  __device__ void CopyStep(int step) {
    const int key = tile_.begin + step * kTiles.step;
    const int key_head = head_ / p_.in.heads_per_key_head;
    CopyPanels<kHeadSize, kTiles.step, kTiles.threads()>(Stage(step), p_.in.k, key, tile_.end - key,
                                                         key_head);
    CopyPanels<kHeadSize, kTiles.step, kTiles.threads()>(Stage(step) + kMatrixBytes, p_.in.v, key,
                                                         tile_.end - key, key_head);
    CommitCopies();
  }

  // The lane's upper and lower row.
  __device__ static int Row(int half) {
    return Warp() * 16 + half * 8 + mma::AccumulatorRow(Lane(), 0);
  }

  // Rows that are not there have no weight anywhere.
  __device__ void LoadTerms() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      terms_[half] = {INFINITY, 0.0F};
      if (Row(half) < tile_.count) {
        terms_[half] = p_.terms[head_ * p_.num_tokens + tile_.first + Row(half)];
      }
    }
  }

  __device__ void ComputeStep(int step, int key, Visible visible) {
    float scores[kBlocks][4], gradients[kBlocks][4];
    const std::uint32_t owned = SharedAddress(shared_);
    FenceRegisters();
    MultiplyRowsAsync<kHeadSize, kTiles.owned>(scores, owned, 0, Stage(step));
    CommitProducts();
    MultiplyRowsAsync<kHeadSize, kTiles.owned>(gradients, owned + kOwnedBytes, 0,
                                               Stage(step) + kMatrixBytes);
    CommitProducts();
    WaitForProducts<1>();
    PinRegisters(scores);
    if (visible == Visible::kAll) {
      Probabilities<true>(key, scores);
    } else {
      Probabilities<false>(key, scores);
    }
    WaitForProducts<0>();
    PinRegisters(gradients);
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        gradients[n][i] = scores[n][i] * (gradients[n][i] - terms_[i / 2].delta);
      }
    }
    Fragment weights[4];
    PackRows(gradients, weights);
    PinRegisters(dq_);
    FenceRegisters();
    AddWeightedRowsAsync<kHeadSize>(dq_, weights, Stage(step));
    CommitProducts();
    WaitForProducts<0>();
    PinRegisters(dq_);
  }

  // kAll: every row that is there sees all keys of the step; the others' lse makes theirs 0.
  template <bool kAll>
  __device__ void Probabilities(int key, float (&scores)[kBlocks][4]) const {
    const float c = p_.in.softmax_scale * kLog2E;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = Row(half);
      const KvInterval sees =
          kAll || row >= tile_.count ? KvInterval{} : IntervalOf(p_.in.plan, tile_.first + row);
#pragma unroll
      for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int at = key + n * 8 + mma::AccumulatorColumn(Lane(), i);
          float& score = scores[n][2 * half + i];
          score = Probability(c, terms_[half].lse, kAll || sees.Has(at), score);
        }
      }
    }
  }

  const AttentionBackwardParams<bf16>& p_;
  std::byte* shared_;
  AttentionTile tile_;
  int head_;
  AttentionRowTerms terms_[2];
  float dq_[kHeadSize / 8][4];
};

}  // namespace

SEQUELA_KERNEL __launch_bounds__(kTiles.threads(), 4)
    sequela_attention_dq_64_hopper(AttentionBackwardParams<bf16> p) {
  extern __shared__ __align__(1024) std::byte shared[];
  QueryGradient<64>(p, shared).Run();
}
SEQUELA_KERNEL __launch_bounds__(kTiles.threads(), 2)
    sequela_attention_dq_128_hopper(AttentionBackwardParams<bf16> p) {
  extern __shared__ __align__(1024) std::byte shared[];
  QueryGradient<128>(p, shared).Run();
}

}  // namespace sequela::cuda
