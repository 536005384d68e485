// Attention forward for sm_90a: bf16, head sizes 64 and 128, fp32 sums. As attention_forward.cu of
// the family for sm_80, with the products of warpgroups (wgmma), which read Q, K and V from shared
// memory themselves: the family's limit on Hopper is how fast warps can load fragments.
//   block        2 warpgroups of 64 queries; two blocks on an SM, so that the tensor cores have one
//                warpgroup's products while others are at their exponentials
//   registers    output 64 and scores 32 a thread at head size 128: 128, the most that two blocks
//                allow
//   shared       Q, and K and V of two steps: one is computed while the other is on its way
//   masks        only where a warpgroup's rows see a step in part; what they do not see is skipped
// Sizes and reasons: layout/attention_tiles.h. Work: one (tile, head) a block, in the
// order of layout/attention_image.h.
#include "kernels/cuda/hopper/attention_tiles.cuh"
#include "kernels/layout/online_softmax.h"

namespace sequela::cuda {
namespace {

constexpr AttentionKernelTiles kTiles = kHopperAttentionForwardTiles;
constexpr int kBlocks = kTiles.step / 8;
constexpr float kLn2 = 0.693147180559945309417F;
static_assert(kTiles.step == kWarpgroupRows);

template <int kHeadSize>
class Forward {
 public:
  __device__ Forward(const AttentionForwardParams<bf16>& p, std::byte* shared)
      : p_(p), shared_(shared) {
    const BlockWork work = Uniform(
        WorkOf(p.in.plan, p.in.plan.forward_tiles, p.in.num_query_heads, 2 * 2 * kHeadSize));
    tile_ = work.tile;
    head_ = work.head;
    key_head_ = Uniform(head_ / p.in.heads_per_key_head);
    first_ = Uniform(Warpgroup() * kWarpgroupRows);
    const WarpIntervals sees =
        IntervalsOf(p.in.plan, tile_.first + first_, min(kWarpgroupRows, tile_.count - first_));
    sees_ = {Uniform(sees.first), Uniform(sees.last)};
  }

  __device__ void Run() {
    Clear(out_);
    max_[0] = max_[1] = -INFINITY;
    sum_[0] = sum_[1] = 0.0F;
    std::uint32_t stage = SharedAddress(shared_) + kTiles.owned_bytes(kHeadSize);
    if (tile_.begin < tile_.end) {
      CopyPanels<kHeadSize, kTiles.owned, kTiles.threads()>(SharedAddress(shared_), p_.in.q,
                                                            tile_.first, tile_.count, head_);
      CopyStep(stage, tile_.begin);
    }
    for (int key = tile_.begin; key < tile_.end; key += kTiles.step) {
      WaitForCopies<0>();
      PublishShared();
      __syncthreads();  // the step is here, and nobody reads the other stage any more
      if (key + kTiles.step < tile_.end) CopyStep(Other(stage), key + kTiles.step);
      const Visible visible = VisibleOf(sees_.first, sees_.last, key, kTiles.step);
      if (visible != Visible::kNothing) ComputeStep(stage, key, visible);
      stage = Other(stage);
    }
    Finish();
  }

 private:
  static constexpr int kMatrixBytes = 2 * kTiles.step * kHeadSize;

  // The address of the other of the two stages.
  __device__ std::uint32_t Other(std::uint32_t stage) const {
    static_assert(kTiles.stages == 2);
    const std::uint32_t first = SharedAddress(shared_) + kTiles.owned_bytes(kHeadSize);
    return 2 * first + kTiles.stage_bytes(kHeadSize) - stage;
  }

  __device__ void CopyStep(std::uint32_t stage, int key) {
    CopyPanels<kHeadSize, kTiles.step, kTiles.threads()>(stage, p_.in.k, key, tile_.end - key,
                                                         key_head_);
    CopyPanels<kHeadSize, kTiles.step, kTiles.threads()>(stage + kMatrixBytes, p_.in.v, key,
                                                         tile_.end - key, key_head_);
    CommitCopies();
  }

  __device__ void ComputeStep(std::uint32_t stage, int key, Visible visible) {
    float scores[kBlocks][4];
    FenceRegisters();
    MultiplyRowsAsync<kHeadSize, kTiles.owned>(scores, SharedAddress(shared_), first_, stage);
    CommitProducts();
    WaitForProducts<0>();
    PinRegisters(scores);
    if (visible == Visible::kSome) Mask(key, scores);
    const float shrink[2] = {Softmax<0>(scores), Softmax<2>(scores)};
    // Mostly the maxima stay, and then so does the output.
    if (__any_sync(kAllLanes, shrink[0] != 1.0F || shrink[1] != 1.0F)) {
#pragma unroll
      for (int n = 0; n < kHeadSize / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) out_[n][i] *= shrink[i / 2];
      }
    }
    Fragment weights[4];
    PackRows(scores, weights);
    PinRegisters(out_);
    FenceRegisters();
    AddWeightedRowsAsync<kHeadSize>(out_, weights, stage + kMatrixBytes);
    CommitProducts();
    WaitForProducts<0>();
    PinRegisters(out_);
  }

  // The thread's upper and lower row of the warpgroup's.
  __device__ static int Row(unsigned thread, int half) {
    const auto warp = static_cast<int>(thread / 32 % 4), lane = static_cast<int>(thread % 32);
    return warp * 16 + half * 8 + mma::AccumulatorRow(lane, 0);
  }

  __device__ void Mask(int key, float (&scores)[kBlocks][4]) const {
    const unsigned thread = FreshThread();
    const int lane = static_cast<int>(thread % 32);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_ + Row(thread, half);
      const KvInterval sees =
          row < tile_.count ? IntervalOf(p_.in.plan, tile_.first + row) : KvInterval{};
#pragma unroll
      for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int column = n * 8 + mma::AccumulatorColumn(lane, i);
          float& score = scores[n][half * 2 + i];
          score = sees.Has(key + column) ? score : -INFINITY;
        }
      }
    }
  }

  // Scores of one row of the lane, registers kAt and kAt + 1 of each 16 x 8, to
  // 2^(c (score - max)); what earlier sums are to be multiplied by. Exponents are c score - shift,
  // one instruction each: `shift` is c max rounded, the same for all of the row and in `shrink`, so
  // that the rounding cancels.
  template <int kAt>
  __device__ float Softmax(float (&scores)[kBlocks][4]) {
    float max = -INFINITY;
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
      max = fmaxf(max, fmaxf(scores[n][kAt], scores[n][kAt + 1]));
    }
    max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, 1));
    max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, 2));
    const float c = p_.in.softmax_scale * kLog2E;
    max = fmaxf(max_[kAt / 2], max * c);
    const float shift = max == -INFINITY ? 0.0F : max;  // nothing seen yet: all are 2^-inf
    const float shrink = Exp2(max_[kAt / 2] - shift);
    max_[kAt / 2] = max;
    float sum = 0.0F;
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int i = kAt; i < kAt + 2; ++i) {
        scores[n][i] = Exp2(fmaf(scores[n][i], c, -shift));
        sum += scores[n][i];
      }
    }
    sum_[kAt / 2] = sum_[kAt / 2] * shrink + sum;
    return shrink;
  }

  __device__ void Finish() {
    const unsigned thread = FreshThread();
    const int tile_first = Fresh(tile_.first), head = Fresh(head_);
    float inverse[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = sum_[half] + __shfl_xor_sync(kAllLanes, sum_[half], 1);
      sum += __shfl_xor_sync(kAllLanes, sum, 2);
      inverse[half] = InverseSum(sum);
      const int row = first_ + Row(thread, half);
      if (row < tile_.count && thread % 4 == 0) {
        p_.lse.Row(tile_first + row)[head] = LogSumExp(max_[half], sum, kLn2);
      }
    }
    WarpgroupBarrier(Warpgroup());  // the other warps have read their rows of Q
    const int row = first_ + Warp() % 4 * 16;
    StorePanels<kHeadSize, kTiles.owned>(out_, inverse[0], inverse[1], shared_, row, p_.out,
                                         tile_first + row, tile_.count - row, head);
  }

  const AttentionForwardParams<bf16>& p_;
  std::byte* shared_;
  AttentionTile tile_;
  int head_, key_head_;
  int first_;           // the warpgroup's rows, from the tile's first
  WarpIntervals sees_;  // these rows
  float out_[kHeadSize / 8][4];
  float max_[2];  // by row of the lane; times c
  float sum_[2];  // of the lane's own columns
};

}  // namespace

SEQUELA_KERNEL __launch_bounds__(kTiles.threads(), 2)
    sequela_attention_forward_64_hopper(AttentionForwardParams<bf16> p) {
  extern __shared__ __align__(1024) std::byte shared[];
  Forward<64>(p, shared).Run();
}
SEQUELA_KERNEL __launch_bounds__(kTiles.threads(), 2)
    sequela_attention_forward_128_hopper(AttentionForwardParams<bf16> p) {
  extern __shared__ __align__(1024) std::byte shared[];
  Forward<128>(p, shared).Run();
}

}  // namespace sequela::cuda
