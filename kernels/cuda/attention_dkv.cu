// Attention backward on tensor cores, dK and dV: bf16, head sizes 64 and 128, fp32 sums. A block
// keeps 64 keys of one key head with their values and walks over the queries that see any of them,
// 64 at a time, head after head of those that share the key head: always in this order, so that the
// sums are the same at every repeat. Everything is transposed, keys being the rows of the products:
// S^T = K Q^T and dP^T = V dO^T, then P^T and dS^T stay in registers as the left sides of
// dV += P^T dO and dK += dS^T Q.
//   block        4 warps of 16 keys
//   registers    dK and dV 2 x H / 8 x 4 (128 at head size 128), scores and gradients 2 x 32
//   shared       K and V, and of two steps Q, dO and what the mask and the softmax need of each
//                query; swizzled; 50 KiB and 98 KiB
// Sizes and reasons: layout/attention_tiles.h.
#include "kernels/cuda/attention_backward.cuh"
#include "kernels/cuda/attention_tiles.cuh"

namespace sequela::cuda {
namespace {

constexpr AttentionKernelTiles kTiles = kAttentionKeyGradientTiles;
constexpr int kBlocks = kTiles.step / 8;
static_assert(kTiles.warp_rows() == 16);
static_assert(kTiles.stage_extra_bytes == sizeof(AttentionRowTerms) + sizeof(KvInterval));

template <int kHeadSize>
class KeyGradient {
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
      __syncthreads();  // the step is here, and nobody reads the other stage any more
      if (step + 1 < steps) CopyStep(step + 1);
      const KvInterval* intervals = Intervals(step);
      const int last = min(kTiles.step, tile_.end - FirstRow(step)) - 1;
      const Visible visible =
          VisibleOf(intervals[0], intervals[last], FirstKey(), kTiles.warp_rows());
      if (visible != Visible::kNothing) ComputeStep(step, visible);
    }
    const int count = tile_.first + tile_.count - FirstKey();
    const int row = Warp() * kTiles.warp_rows();
    StoreRows<kHeadSize>(dk_[0], p_.in.softmax_scale, p_.in.softmax_scale, shared_, row, p_.dk,
                         FirstKey(), count, key_head_);
    StoreRows<kHeadSize>(dv_[0], 1.0F, 1.0F, shared_ + kOwnedBytes, row, p_.dv, FirstKey(), count,
                         key_head_);
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
  __device__ int FirstKey() const { return tile_.first + Warp() * kTiles.warp_rows(); }

  __device__ std::byte* Stage(int step) const {
    return shared_ + kTiles.owned_bytes(kHeadSize) +
           step % kTiles.stages * kTiles.stage_bytes(kHeadSize);
  }
  __device__ const KvInterval* Intervals(int step) const {
    return reinterpret_cast<const KvInterval*>(Stage(step) + kIntervalsAt);
  }

  __device__ void CopyOwned(const Rows<const bf16>& from, int place) {
    CopyRows<kHeadSize, kTiles.owned, kTiles.threads()>(SharedAddress(shared_) + place, from,
                                                        tile_.first, tile_.count, key_head_);
  }

  __device__ void CopyStep(int step) {
    const int first = FirstRow(step), count = tile_.end - first, head = Head(step);
    const std::uint32_t stage = SharedAddress(Stage(step));
    CopyRows<kHeadSize, kTiles.step, kTiles.threads()>(stage, p_.in.q, first, count, head);
    CopyRows<kHeadSize, kTiles.step, kTiles.threads()>(stage + kMatrixBytes, p_.dout, first, count,
                                                       head);
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
    float scores[1][kBlocks][4], gradients[1][kBlocks][4];
    Clear(scores);
    Clear(gradients);
    const std::uint32_t stage = SharedAddress(Stage(step)), owned = SharedAddress(shared_);
    const int row = Warp() * kTiles.warp_rows();
    MultiplyRows<kHeadSize>(scores, owned, row, stage);
    MultiplyRows<kHeadSize>(gradients, owned + kOwnedBytes, row, stage + kMatrixBytes);
    ScoreGradients(step, visible == Visible::kAll, scores[0], gradients[0]);
    AddWeightedRows<kHeadSize>(dv_, scores, stage + kMatrixBytes);
    AddWeightedRows<kHeadSize>(dk_, gradients, stage);
  }

  // Columns are queries: the lane's two neighbours of each 16 x 8.
  __device__ void ScoreGradients(int step, bool all, float (&scores)[kBlocks][4],
                                 float (&gradients)[kBlocks][4]) const {
    const float c = p_.in.softmax_scale * kLog2E;
    const auto* terms = reinterpret_cast<const AttentionRowTerms*>(Stage(step) + kTermsAt);
    const int key = FirstKey() + mma::AccumulatorRow(Lane(), 0);
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = n * 8 + mma::AccumulatorColumn(Lane(), i);
        const AttentionRowTerms of_row = terms[row];
        const KvInterval sees = all ? KvInterval{key, key + 9} : Intervals(step)[row];
        ScoreGradient(c, of_row, sees.Has(key), scores[n][i], gradients[n][i]);
        ScoreGradient(c, of_row, sees.Has(key + 8), scores[n][i + 2], gradients[n][i + 2]);
      }
    }
  }

  const AttentionBackwardParams<bf16>& p_;
  std::byte* shared_;
  AttentionTile tile_;
  int key_head_;
  int steps_per_head_;
  float dk_[1][kHeadSize / 8][4], dv_[1][kHeadSize / 8][4];
};

}  // namespace

SEQUELA_KERNEL __launch_bounds__(kTiles.threads())
    sequela_attention_dkv_64(AttentionBackwardParams<bf16> p) {
  extern __shared__ __align__(256) std::byte shared[];
  KeyGradient<64>(p, shared).Run();
}
SEQUELA_KERNEL __launch_bounds__(kTiles.threads())
    sequela_attention_dkv_128(AttentionBackwardParams<bf16> p) {
  extern __shared__ __align__(256) std::byte shared[];
  KeyGradient<128>(p, shared).Run();
}

}  // namespace sequela::cuda
