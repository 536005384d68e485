// Attention forward on tensor cores: bf16, head sizes 64 and 128, fp32 sums. After Dao,
// "FlashAttention-2" (2023): a block keeps 128 queries of one head and walks over the keys that any
// of them sees, 64 at a time, with an online softmax; scores never leave the registers.
//   block        head size 64: 4 warps of 32 queries, two products m16n8k16 for each fragment of K
//                or V; 128: 8 warps of 16
//   registers    output and scores, 64 + 64 and 64 + 32 a thread; queries are read again from
//                shared memory for every step, which costs less than holding them
//   shared       Q, and K and V of two steps: one is computed while the other is on its way
//                (cp.async); swizzled, no bank conflicts; 48 KiB and 96 KiB
//   masks        only where a warp's 32 rows see a step in part; what they do not see is skipped
// Sizes and reasons: layout/attention_tiles.h. Work: one (tile, head) a block, in the
// order of layout/attention_image.h.
#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/layout/online_softmax.h"

namespace sequela::cuda {
namespace {

template <int kHeadSize>
class Forward {
  static constexpr AttentionKernelTiles kTiles = AttentionForwardTiles(kHeadSize);
  static constexpr int kM = kTiles.warp_rows() / 16;
  static constexpr int kBlocks = kTiles.step / 8;

 public:
  __device__ Forward(const AttentionForwardParams<bf16>& p, std::byte* shared)
      : p_(p), shared_(shared) {
    const BlockWork work = Uniform(
        WorkOf(p.in.plan, p.in.plan.forward_tiles, p.in.num_query_heads, 2 * 2 * kHeadSize));
    tile_ = work.tile;
    head_ = work.head;
    first_ = Warp() * kTiles.warp_rows();
    count_ = min(kTiles.warp_rows(), tile_.count - first_);
  }

  __device__ void Run() {
    const WarpIntervals sees = IntervalsOf(p_.in.plan, tile_.first + first_, count_);
    const int steps = (tile_.end - tile_.begin + kTiles.step - 1) / kTiles.step;
    Clear(out_);
    for (int i = 0; i < 2 * kM; ++i) {
      max_[i] = -INFINITY;
      sum_[i] = 0.0F;
    }
    if (steps > 0) {
      CopyRows<kHeadSize, kTiles.owned, kTiles.threads()>(SharedAddress(shared_), p_.in.q,
                                                          tile_.first, tile_.count, head_);
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
    Finish();
  }

 private:
  __device__ std::uint32_t Stage(int step) const {
    return SharedAddress(shared_) + kTiles.owned_bytes(kHeadSize) +
           step % kTiles.stages * kTiles.stage_bytes(kHeadSize);
  }
  static constexpr int kMatrixBytes = 2 * kTiles.step * kHeadSize;

  __device__ void CopyStep(int step) {
    const int key = tile_.begin + step * kTiles.step;
    const int key_head = head_ / p_.in.heads_per_key_head;
    CopyRows<kHeadSize, kTiles.step, kTiles.threads()>(Stage(step), p_.in.k, key, tile_.end - key,
                                                       key_head);
    CopyRows<kHeadSize, kTiles.step, kTiles.threads()>(Stage(step) + kMatrixBytes, p_.in.v, key,
                                                       tile_.end - key, key_head);
    CommitCopies();
  }

  __device__ void ComputeStep(int step, int key, Visible visible) {
    float scores[kM][kBlocks][4];
    Clear(scores);
    MultiplyRows<kHeadSize>(scores, SharedAddress(shared_), first_, Stage(step));
    if (visible == Visible::kSome) Mask(key, scores);
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      Softmax<0>(scores[m], out_[m], max_[2 * m], sum_[2 * m]);
      Softmax<2>(scores[m], out_[m], max_[2 * m + 1], sum_[2 * m + 1]);
    }
    AddWeightedRows<kHeadSize>(out_, scores, Stage(step) + kMatrixBytes);
  }

  __device__ void Mask(int key, float (&scores)[kM][kBlocks][4]) const {
#pragma unroll
    for (int half = 0; half < 2 * kM; ++half) {
      const int row = half * 8 + mma::AccumulatorRow(Lane(), 0);
      const KvInterval sees =
          row < count_ ? IntervalOf(p_.in.plan, tile_.first + first_ + row) : KvInterval{};
#pragma unroll
      for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int column = n * 8 + mma::AccumulatorColumn(Lane(), i);
          float& score = scores[half / 2][n][half % 2 * 2 + i];
          score = sees.Has(key + column) ? score : -INFINITY;
        }
      }
    }
  }

  // One row of the lane: its accumulators are registers kAt and kAt + 1 of each 16 x 8.
  template <int kAt>
  __device__ void Softmax(float (&scores)[kBlocks][4], float (&out)[kHeadSize / 8][4], float& max,
                          float& sum) const {
    float new_max = max;
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
      new_max = fmaxf(new_max, fmaxf(scores[n][kAt], scores[n][kAt + 1]));
    }
    new_max = fmaxf(new_max, __shfl_xor_sync(kAllLanes, new_max, 1));
    new_max = fmaxf(new_max, __shfl_xor_sync(kAllLanes, new_max, 2));
    const float c = p_.in.softmax_scale * kLog2E;
    const OnlineSoftmaxStep step = StepOnlineSoftmax(max, new_max, c);
    const float shrink = Exp2(step.exponent);
    max = new_max;
    sum *= shrink;
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int i = kAt; i < kAt + 2; ++i) {
        scores[n][i] = Exp2(ScoreExponent(scores[n][i], step.shift, c));
        sum += scores[n][i];
      }
    }
#pragma unroll
    for (int n = 0; n < kHeadSize / 8; ++n) {
      out[n][kAt] *= shrink;
      out[n][kAt + 1] *= shrink;
    }
  }

  __device__ void Finish() {
    float inverse[2 * kM];
#pragma unroll
    for (int half = 0; half < 2 * kM; ++half) {
      float sum = sum_[half] + __shfl_xor_sync(kAllLanes, sum_[half], 1);
      sum += __shfl_xor_sync(kAllLanes, sum, 2);
      inverse[half] = InverseSum(sum);
      const int row = half * 8 + mma::AccumulatorRow(Lane(), 0);
      if (row < count_ && Lane() % 4 == 0) {
        p_.lse.Row(tile_.first + first_ + row)[head_] =
            LogSumExp(max_[half], sum, p_.in.softmax_scale);
      }
    }
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      StoreRows<kHeadSize>(out_[m], inverse[2 * m], inverse[2 * m + 1], shared_, first_ + 16 * m,
                           p_.out, tile_.first + first_ + 16 * m, count_ - 16 * m, head_);
    }
  }

  const AttentionForwardParams<bf16>& p_;
  std::byte* shared_;
  AttentionTile tile_;
  int head_;
  int first_, count_;  // the warp's rows, from the tile's first
  float out_[kM][kHeadSize / 8][4];
  float max_[2 * kM], sum_[2 * kM];  // by row of the lane; sums of the lane's own columns
};

}  // namespace

SEQUELA_KERNEL __launch_bounds__(AttentionForwardTiles(64).threads())
    sequela_attention_forward_64(AttentionForwardParams<bf16> p) {
  extern __shared__ __align__(256) std::byte shared[];
  Forward<64>(p, shared).Run();
}
SEQUELA_KERNEL __launch_bounds__(AttentionForwardTiles(128).threads())
    sequela_attention_forward_128(AttentionForwardParams<bf16> p) {
  extern __shared__ __align__(256) std::byte shared[];
  Forward<128>(p, shared).Run();
}

}  // namespace sequela::cuda
