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
  }

  __device__ void Run() {
    Clear(dk_);
    Clear(dv_);
    Step step{key_head_ * p_.in.heads_per_key_head, tile_.begin, 0};
    if (tile_.begin < tile_.end) {
      CopyOwned(p_.in.k, 0);
      CopyOwned(p_.in.v, kOwnedBytes);
      CopyStep(step);
      for (bool more = true; more;) {
        WaitForCopies<0>();
        PublishShared();
        __syncthreads();  // the step is here, and nobody reads the other stage any more
        const Step next = After(step);
        more = next.head < (Fresh(key_head_) + 1) * p_.in.heads_per_key_head;
        if (more) CopyStep(next);
        Compute(step);
        step = next;
      }
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
  // Whether dV is added up while the score gradients are formed: at head size 64 three blocks on an
  // SM leave no registers for both, and the other blocks have products enough.
  static constexpr bool kEarly = kHeadSize == 128;
  static constexpr int kOwnedBytes = 2 * kTiles.owned * kHeadSize;
  static constexpr int kMatrixBytes = 2 * kTiles.step * kHeadSize;
  // In a stage, behind its matrices: of each query the two terms, apart, and its interval.
  static constexpr int kLseAt = 2 * kMatrixBytes;
  static constexpr int kDeltaAt = kLseAt + kTiles.step * static_cast<int>(sizeof(float));
  static constexpr int kIntervalsAt = kDeltaAt + kTiles.step * static_cast<int>(sizeof(float));

  // Those of one head come together.
  struct Step {
    int head;
    int row;    // the first
    int stage;  // 0 or 1
  };
  __device__ Step After(const Step& step) const {
    static_assert(kTiles.stages == 2);
    const bool same = step.row + kTiles.step < tile_.end;
    return {Uniform(same ? step.head : step.head + 1),
            Uniform(same ? step.row + kTiles.step : tile_.begin), 1 - step.stage};
  }
  __device__ std::byte* Stage(const Step& step) const {
    return shared_ + kTiles.owned_bytes(kHeadSize) + step.stage * kTiles.stage_bytes(kHeadSize);
  }

  __device__ void CopyOwned(const Rows<const bf16>& from, int place) {
    CopyPanels<kHeadSize, kTiles.owned, kTiles.threads()>(SharedAddress(shared_) + place, from,
                                                          tile_.first, tile_.count, key_head_);
  }

  __device__ void CopyStep(const Step& step) {
    const int count = tile_.end - step.row;
    const std::uint32_t stage = SharedAddress(Stage(step));
    CopyPanels<kHeadSize, kTiles.step, kTiles.threads()>(stage, p_.in.q, step.row, count,
                                                         step.head);
    CopyPanels<kHeadSize, kTiles.step, kTiles.threads()>(stage + kMatrixBytes, p_.dout, step.row,
                                                         count, step.head);
    // Half of the threads bring the terms of a row each, half the intervals. Rows that are not
    // there see nothing.
    const unsigned thread = FreshThread();
    const int row = static_cast<int>(thread % kTiles.step);
    const bool valid = row < count;
    const int from = step.row + (valid ? row : 0);
    if (thread < kTiles.step) {
      const AttentionRowTerms* const terms = p_.terms + step.head * p_.num_tokens + from;
      CopyAsync4(stage + kLseAt + row * 4, &terms->lse, valid);
      CopyAsync4(stage + kDeltaAt + row * 4, &terms->delta, valid);
    } else {
      CopyAsync4(stage + kIntervalsAt + row * 8, p_.in.plan.kv_begin + from, valid);
      CopyAsync4(stage + kIntervalsAt + row * 8 + 4, p_.in.plan.kv_end + from, valid);
    }
    CommitCopies();
  }
  static_assert(kTiles.threads() == 2 * kTiles.step);

  __device__ void Compute(const Step& step) {
    const std::byte* const extra = Stage(step);
    const auto* intervals = reinterpret_cast<const KvInterval*>(extra + kIntervalsAt);
    const int last = min(kTiles.step, tile_.end - step.row) - 1;
    const Visible visible = VisibleOf(intervals[0], intervals[last], tile_.first, kTiles.owned);
    if (visible == Visible::kNothing) return;
    float scores[kBlocks][4], gradients[kBlocks][4];
    const std::uint32_t stage = SharedAddress(extra), owned = SharedAddress(shared_);
    FenceRegisters();
    MultiplyRowsAsync<kHeadSize, kTiles.owned>(scores, owned, 0, stage);
    CommitProducts();
    MultiplyRowsAsync<kHeadSize, kTiles.owned>(gradients, owned + kOwnedBytes, 0,
                                               stage + kMatrixBytes);
    CommitProducts();
    WaitForProducts<1>();
    PinRegisters(scores);
    if (visible == Visible::kAll) {
      Probabilities<true>(extra, scores);
    } else {
      Probabilities<false>(extra, scores);
    }
    WaitForProducts<0>();
    PinRegisters(gradients);
    Fragment probabilities[4], weights[4];
    PackRows(scores, probabilities);
    if constexpr (kEarly) Add(probabilities, stage + kMatrixBytes, dv_);
    ScoreGradients(extra, scores, gradients);
    PackRows(gradients, weights);
    if constexpr (!kEarly) Add(probabilities, stage + kMatrixBytes, dv_);
    Add(weights, stage, dk_);
    WaitForProducts<0>();
    PinRegisters(dk_);
    PinRegisters(dv_);
  }

  __device__ static void Add(const Fragment (&weights)[4], std::uint32_t rows,
                             float (&sum)[kHeadSize / 8][4]) {
    PinRegisters(sum);
    FenceRegisters();
    AddWeightedRowsAsync<kHeadSize>(sum, weights, rows);
    CommitProducts();
  }

  // Columns are queries. The lane has two neighbours of each 16 x 8, and reads at once what belongs
  // to both.
  template <typename OfTwo>
  __device__ static OfTwo Read(const std::byte* from, unsigned thread, int n) {
    return reinterpret_cast<const OfTwo*>(from)[n * 4 + thread % 4];
  }

  // kAll asks no interval, not even of rows beyond the document: what they are multiplied with is
  // zeros.
  template <bool kAll>
  __device__ void Probabilities(const std::byte* extra, float (&scores)[kBlocks][4]) const {
    const float c = p_.in.softmax_scale * kLog2E;
    const unsigned thread = FreshThread();
    const auto warp = static_cast<int>(thread / 32), lane = static_cast<int>(thread % 32);
    const int key = tile_.first + warp * 16 + mma::AccumulatorRow(lane, 0);
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
      const float2 lse = Read<float2>(extra + kLseAt, thread, n);
      const int4 sees = kAll ? int4{} : Read<int4>(extra + kIntervalsAt, thread, n);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const bool left = kAll || KvInterval{sees.x, sees.y}.Has(key + 8 * half);
        const bool right = kAll || KvInterval{sees.z, sees.w}.Has(key + 8 * half);
        float* const of_two = scores[n] + 2 * half;
        of_two[0] = Probability(c, lse.x, left, of_two[0]);
        of_two[1] = Probability(c, lse.y, right, of_two[1]);
      }
    }
  }

  __device__ void ScoreGradients(const std::byte* extra, const float (&scores)[kBlocks][4],
                                 float (&gradients)[kBlocks][4]) const {
    const unsigned thread = FreshThread();
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
      const float2 delta = Read<float2>(extra + kDeltaAt, thread, n);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        gradients[n][i] = scores[n][i] * (gradients[n][i] - (i % 2 == 0 ? delta.x : delta.y));
      }
    }
  }

  const AttentionBackwardParams<bf16>& p_;
  std::byte* shared_;
  AttentionTile tile_;
  int key_head_;
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
