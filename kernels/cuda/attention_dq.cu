// Attention backward on tensor cores, dQ: bf16, head sizes 64 and 128, fp32 sums. A block keeps 64
// queries of one head with the gradients of their outputs and walks over the keys that any of them
// sees, 64 at a time: S = Q K^T and dP = dO V^T, then dS = P (dP - delta) stays in registers as the
// left side of dQ += dS K. Scores are computed here and again for dK/dV: seven products instead of
// five, without atomics or a second pass.
//   block        4 warps of 16 queries
//   registers    dQ H / 8 x 4 (64 at head size 128), scores and their gradients 2 x 32 a thread
//   shared       Q and dO, and K and V of two steps, swizzled; 48 KiB and 96 KiB
// Sizes and reasons: layout/attention_tiles.h.
#include "kernels/cuda/attention_backward.cuh"
#include "kernels/cuda/attention_tiles.cuh"

namespace sequela::cuda {
namespace {

constexpr AttentionKernelTiles kTiles = kAttentionQueryGradientTiles;
constexpr int kBlocks = kTiles.step / 8;
static_assert(kTiles.warp_rows() == 16);

template <int kHeadSize>
class QueryGradient {
 public:
  __device__ QueryGradient(const AttentionBackwardParams<bf16>& p, std::byte* shared)
      : p_(p), shared_(shared) {
    const BlockWork work =
        Uniform(WorkOf(p.in.plan, p.in.plan.query_tiles, p.in.num_query_heads, 2 * 2 * kHeadSize));
    tile_ = work.tile;
    head_ = work.head;
    first_ = Warp() * kTiles.warp_rows();
    count_ = min(kTiles.warp_rows(), tile_.count - first_);
  }

  __device__ void Run() {
    const WarpIntervals sees = IntervalsOf(p_.in.plan, tile_.first + first_, count_);
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
      __syncthreads();  // the step is here, and nobody reads the other stage any more
      if (step + 1 < steps) CopyStep(step + 1);
      const int key = tile_.begin + step * kTiles.step;
      const Visible visible = VisibleOf(sees.first, sees.last, key, kTiles.step);
      if (visible != Visible::kNothing) ComputeStep(step, key, visible);
    }
    StoreRows<kHeadSize>(dq_[0], p_.in.softmax_scale, p_.in.softmax_scale, shared_, first_, p_.dq,
                         tile_.first + first_, count_, head_);
  }

 private:
  static constexpr int kOwnedBytes = 2 * kTiles.owned * kHeadSize;
  static constexpr int kMatrixBytes = 2 * kTiles.step * kHeadSize;

  __device__ std::uint32_t Stage(int step) const {
    return SharedAddress(shared_) + kTiles.owned_bytes(kHeadSize) +
           step % kTiles.stages * kTiles.stage_bytes(kHeadSize);
  }

  __device__ void CopyOwned(const Rows<const bf16>& from, int place) {
    CopyRows<kHeadSize, kTiles.owned, kTiles.threads()>(SharedAddress(shared_) + place, from,
                                                        tile_.first, tile_.count, head_);
  }

  __device__ void CopyStep(int step) {
    const int key = tile_.begin + step * kTiles.step;
    const int key_head = head_ / p_.in.heads_per_key_head;
    CopyRows<kHeadSize, kTiles.step, kTiles.threads()>(Stage(step), p_.in.k, key, tile_.end - key,
                                                       key_head);
    CopyRows<kHeadSize, kTiles.step, kTiles.threads()>(Stage(step) + kMatrixBytes, p_.in.v, key,
                                                       tile_.end - key, key_head);
    CommitCopies();
  }

  // Of the lane's two rows; rows that are not there have no weight anywhere.
  __device__ void LoadTerms() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = half * 8 + mma::AccumulatorRow(Lane(), 0);
      terms_[half] = {INFINITY, 0.0F};
      if (row < count_) terms_[half] = p_.terms[head_ * p_.num_tokens + tile_.first + first_ + row];
    }
  }

  __device__ void ComputeStep(int step, int key, Visible visible) {
    float scores[1][kBlocks][4], gradients[1][kBlocks][4];
    Clear(scores);
    Clear(gradients);
    const std::uint32_t owned = SharedAddress(shared_);
    MultiplyRows<kHeadSize>(scores, owned, first_, Stage(step));
    MultiplyRows<kHeadSize>(gradients, owned + kOwnedBytes, first_, Stage(step) + kMatrixBytes);
    if (visible == Visible::kAll) {
      ScoreGradients(KvInterval{key, key + kTiles.step}, KvInterval{key, key + kTiles.step}, key,
                     scores[0], gradients[0]);
    } else {
      const int row = mma::AccumulatorRow(Lane(), 0), first = tile_.first + first_;
      ScoreGradients(row < count_ ? IntervalOf(p_.in.plan, first + row) : KvInterval{},
                     row + 8 < count_ ? IntervalOf(p_.in.plan, first + row + 8) : KvInterval{}, key,
                     scores[0], gradients[0]);
    }
    AddWeightedRows<kHeadSize>(dq_, gradients, Stage(step));
  }

  // The lane's upper and lower row see these keys of the step from `key`.
  __device__ void ScoreGradients(const KvInterval& upper, const KvInterval& lower, int key,
                                 float (&scores)[kBlocks][4],
                                 float (&gradients)[kBlocks][4]) const {
    const float c = p_.in.softmax_scale * kLog2E;
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = key + n * 8 + mma::AccumulatorColumn(Lane(), i);
        ScoreGradient(c, terms_[i / 2], (i < 2 ? upper : lower).Has(at), scores[n][i],
                      gradients[n][i]);
      }
    }
  }

  const AttentionBackwardParams<bf16>& p_;
  std::byte* shared_;
  AttentionTile tile_;
  int head_;
  int first_, count_;  // the warp's rows, from the tile's first
  AttentionRowTerms terms_[2];
  float dq_[1][kHeadSize / 8][4];
};

}  // namespace

SEQUELA_KERNEL __launch_bounds__(kTiles.threads())
    sequela_attention_dq_64(AttentionBackwardParams<bf16> p) {
  extern __shared__ __align__(256) std::byte shared[];
  QueryGradient<64>(p, shared).Run();
}
SEQUELA_KERNEL __launch_bounds__(kTiles.threads())
    sequela_attention_dq_128(AttentionBackwardParams<bf16> p) {
  extern __shared__ __align__(256) std::byte shared[];
  QueryGradient<128>(p, shared).Run();
}

}  // namespace sequela::cuda
