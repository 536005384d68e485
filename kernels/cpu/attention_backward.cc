// Backward attention. A piece of work is a whole document and one key head, so that one thread owns
// every gradient that it adds to: five products per tile, no atomics, no second pass. For each
// block of keys dK and dV stay in the cache while the rows that see the block go by; dQ is summed
// in fp32 over the blocks.
#include <algorithm>
#include <vector>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/attention_layout.h"
#include "kernels/cpu/parallel_for.h"
#include "kernels/layout/workspace_carver.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_backward.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h.
#include "kernels/cpu/attention_tiles-inl.h"

#ifndef SEQUELA_KERNELS_CPU_ATTENTION_BACKWARD_ONCE
#define SEQUELA_KERNELS_CPU_ATTENTION_BACKWARD_ONCE
namespace sequela::cpu {

// R tile rows, K tile keys, S row stride, P = heads of a group * rows of the document.
struct BackwardBuffers {
  float* q_RS;
  float* dout_RS;
  float* k_KS;
  float* k_panels;
  float* v_panels;
  float* scores;   // [R][kScoreStride], then probabilities
  float* dscores;  // [R][kScoreStride]: gradients of the probabilities, then of the scores
  float* dk_KS;
  float* dv_KS;
  float* dq_PS;
  float* delta_P;  // out . dout
  float* lse_P;    // 0 where a row sees nothing
};

inline BackwardBuffers TakeBackwardBuffers(WorkspaceCarver& carver, const AttentionShape& shape,
                                           std::int64_t longest_document) {
  const std::int64_t stride = RowStride(shape.head_size);
  const std::int64_t pairs = shape.num_query_heads / shape.num_key_heads * longest_document;
  BackwardBuffers b{};
  b.q_RS = carver.Take<float>(kBackwardTileRows * stride);
  b.dout_RS = carver.Take<float>(kBackwardTileRows * stride);
  b.k_KS = carver.Take<float>(kBackwardTileKeys * stride);
  b.k_panels = carver.Take<float>(kBackwardTileKeys * shape.head_size);
  b.v_panels = carver.Take<float>(kBackwardTileKeys * shape.head_size);
  b.scores = carver.Take<float>(kBackwardTileRows * kScoreStride);
  b.dscores = carver.Take<float>(kBackwardTileRows * kScoreStride);
  b.dk_KS = carver.Take<float>(kBackwardTileKeys * stride);
  b.dv_KS = carver.Take<float>(kBackwardTileKeys * stride);
  b.dq_PS = carver.Take<float>(pairs * stride);
  b.delta_P = carver.Take<float>(pairs);
  b.lse_P = carver.Take<float>(pairs);
  return b;
}

}  // namespace sequela::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu {
namespace HWY_NAMESPACE {

// delta[r] = a_r . b_r for `kRows` rows at once, each summed in the order in which ScoreTile sums:
// where a row puts all its weight on one key, out is that key's value and (dP - delta) is exactly
// 0.
template <int kRows, typename T>
HWY_INLINE void DotsOfRows(const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride,
                           std::int64_t head_size, float* delta) {
  const hn::CappedTag<float, 1> d;
  hn::Vec<decltype(d)> sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = hn::Zero(d);
  for (std::int64_t h = 0; h < head_size; ++h) {
    for (int r = 0; r < kRows; ++r) {
      sums[r] = hn::MulAdd(hn::Set(d, LoadOne(a + r * a_stride + h)),
                           hn::Set(d, LoadOne(b + r * b_stride + h)), sums[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) delta[r] = hn::GetLane(sums[r]);
}

// scores -> probabilities; dscores (of the probabilities) -> gradients of q . k.
HWY_INLINE void SoftmaxBackwardRow(float* HWY_RESTRICT scores, float* HWY_RESTRICT dscores,
                                   KeyRange range, float scale, float lse, float delta) {
  const F32 d;
  const auto lse_v = hn::Set(d, lse);
  const auto scale_v = hn::Set(d, scale), delta_v = hn::Set(d, delta);
  for (std::int64_t k = range.begin; k < range.end; k += Lanes()) {
    // Rounded as lse was, so that large scores stay exact.
    const auto exponent = hn::Sub(hn::Mul(hn::LoadU(d, scores + k), scale_v), lse_v);
    const auto p = Exp(d, exponent);
    const auto dp = hn::Sub(hn::LoadU(d, dscores + k), delta_v);
    hn::StoreU(p, d, scores + k);
    hn::StoreU(hn::Mul(hn::Mul(p, scale_v), dp), d, dscores + k);
  }
}

template <typename T>
class BackwardPiece {
 public:
  BackwardPiece(const AttentionBackwardArgs& args, const BackwardBuffers& buffers,
                const AttentionWorkItem& item, std::int64_t key_head)
      : args_(args), b_(buffers), plan_(*args.plan), key_head_(key_head) {
    heads_ = args.shape.num_query_heads / args.shape.num_key_heads;
    head_size_ = args.shape.head_size;
    stride_ = RowStride(head_size_);
    columns_ = (head_size_ + Lanes() - 1) / Lanes() * Lanes();
    begin_ = item.first_row;
    rows_ = item.num_rows;
    document_id_ = plan_.document_id(item.document);
  }

  void Run() {
    PrepareRows();
    for (std::int64_t key = 0; key < rows_; key += kBackwardTileKeys) {
      RunKeys(key, std::min(kBackwardTileKeys, rows_ - key));
    }
    for (std::int64_t head = 0; head < heads_; ++head) {
      StoreRows(b_.dq_PS + head * rows_ * stride_, rows_, At<T>(args_.dq_TNH, 0, QueryHead(head)),
                args_.dq_TNH.stride);
    }
  }

 private:
  std::int64_t QueryHead(std::int64_t head) const { return key_head_ * heads_ + head; }

  // Row `row` of the document, column range of one head.
  template <typename U, typename View>
  auto* At(const View& view, std::int64_t row, std::int64_t head) const {
    return view.template As<U>() + (begin_ + row) * view.stride + head * head_size_;
  }

  void StoreRows(const float* from, std::int64_t rows, T* to, std::int64_t to_stride) const {
    for (std::int64_t row = 0; row < rows; ++row) {
      ConvertRow(from + row * stride_, to + row * to_stride, head_size_);
    }
  }

  void PrepareRows() {
    std::fill(b_.dq_PS, b_.dq_PS + heads_ * rows_ * stride_, 0.0F);
    const auto* lse = args_.lse_TN.template As<float>();
    for (std::int64_t head = 0; head < heads_; ++head) {
      DeltaOfHead(head);
      for (std::int64_t row = 0; row < rows_; ++row) {
        const float l = lse[(begin_ + row) * args_.lse_TN.stride + QueryHead(head)];
        // A row that sees nothing: its masked scores are -inf, and e^(-inf - 0) = 0.
        b_.lse_P[head * rows_ + row] = l == kMinusInfinity ? 0.0F : l;
      }
    }
  }

  void DeltaOfHead(std::int64_t head) {
    const auto* out = At<T>(args_.out_TNH, 0, QueryHead(head));
    const auto* dout = At<T>(args_.dout_TNH, 0, QueryHead(head));
    const std::int64_t out_stride = args_.out_TNH.stride, dout_stride = args_.dout_TNH.stride;
    float* delta = b_.delta_P + head * rows_;
    std::int64_t row = 0;
    for (; row + 8 <= rows_; row += 8) {
      DotsOfRows<8>(dout + row * dout_stride, dout_stride, out + row * out_stride, out_stride,
                    head_size_, delta + row);
    }
    for (; row < rows_; ++row) {
      DotsOfRows<1>(dout + row * dout_stride, dout_stride, out + row * out_stride, out_stride,
                    head_size_, delta + row);
    }
  }

  void RunKeys(std::int64_t key, std::int64_t keys) {
    PackKeys(key, keys);
    std::fill(b_.dk_KS, b_.dk_KS + kBackwardTileKeys * stride_, 0.0F);
    std::fill(b_.dv_KS, b_.dv_KS + kBackwardTileKeys * stride_, 0.0F);
    // No row before `key` sees it. Tiles begin at multiples counted from the document's begin.
    std::int64_t row = key / kBackwardTileRows * kBackwardTileRows;
    for (; row < rows_; row += kBackwardTileRows) {
      if (plan_.kv_begin()[static_cast<std::size_t>(begin_ + row)] >= begin_ + key + keys) break;
      FillTileMask(plan_, begin_ + row, std::min(kBackwardTileRows, rows_ - row), begin_ + key,
                   keys, mask_);
      if (mask_.empty) continue;
      for (std::int64_t head = 0; head < heads_; ++head) RunTile(row, head, key);
    }
    StoreRows(b_.dk_KS, keys, At<T>(args_.dk_TGH, key, key_head_), args_.dk_TGH.stride);
    StoreRows(b_.dv_KS, keys, At<T>(args_.dv_TGH, key, key_head_), args_.dv_TGH.stride);
  }

  void PackKeys(std::int64_t key, std::int64_t keys) {
    const auto* k = At<T>(args_.k_TGH, key, key_head_);
    PackPanels(k, args_.k_TGH.stride, keys, head_size_, b_.k_panels);
    PackPanels(At<T>(args_.v_TGH, key, key_head_), args_.v_TGH.stride, keys, head_size_,
               b_.v_panels);
    PackRows(k, args_.k_TGH.stride, keys, head_size_, b_.k_KS, stride_);
    const std::int64_t padded = RoundUp(keys, PanelKeys());
    std::fill(b_.k_KS + keys * stride_, b_.k_KS + padded * stride_, 0.0F);
  }

  void RunTile(std::int64_t row, std::int64_t head, std::int64_t key) {
    PackRows(At<T>(args_.q_TNH, row, QueryHead(head)), args_.q_TNH.stride, mask_.num_rows,
             head_size_, b_.q_RS, stride_);
    PackRows(At<T>(args_.dout_TNH, row, QueryHead(head)), args_.dout_TNH.stride, mask_.num_rows,
             head_size_, b_.dout_RS, stride_);
    ScoreTile(mask_, b_.q_RS, stride_, b_.k_panels, head_size_, b_.scores);
    ScoreTile(mask_, b_.dout_RS, stride_, b_.v_panels, head_size_, b_.dscores);
    const std::int64_t pair = head * rows_ + row;
    for (std::int64_t g = 0; g < mask_.num_groups; ++g) {
      if (!mask_.group[g].empty()) RunGroup(g, pair, head, row, key);
    }
    AddKeyGradients();
  }

  // Probabilities and score gradients of a group of rows, and its dQ.
  void RunGroup(std::int64_t g, std::int64_t pair, std::int64_t head, std::int64_t row,
                std::int64_t key) {
    const KeyRange range = mask_.group[g];
    const DropoutStream dropout(args_.dropout, document_id_, QueryHead(head));
    for (std::int64_t r = g * kGroupRows; r < g * kGroupRows + mask_.GroupRows(g); ++r) {
      float* scores = b_.scores + r * kScoreStride;
      float* dscores = b_.dscores + r * kScoreStride;
      MaskRow(mask_, r, scores);
      if (dropout.active()) DropRow(dropout, row + r, key, range, dscores);
      SoftmaxBackwardRow(scores, dscores, range, args_.softmax_scale, b_.lse_P[pair + r],
                         b_.delta_P[pair + r]);
      if (dropout.active()) DropRow(dropout, row + r, key, range, scores);
    }
    const std::int64_t r = g * kGroupRows;
    AddProduct<false>(mask_.GroupRows(g), columns_,
                      {b_.dscores + r * kScoreStride + range.begin, kScoreStride},
                      {b_.k_KS + range.begin * stride_, stride_}, range.end - range.begin,
                      b_.dq_PS + (pair + r) * stride_, stride_);
  }

  // dV += P^T dOut and dK += dS^T Q, panel by panel, over runs of groups that computed the panel.
  void AddKeyGradients() {
    for (std::int64_t key = 0; key < kBackwardTileKeys; key += PanelKeys()) {
      std::int64_t g = 0;
      while (g < mask_.num_groups) {
        const std::int64_t first = g;
        while (g < mask_.num_groups && mask_.group[g].begin <= key && key < mask_.group[g].end) ++g;
        if (g == first) {
          ++g;
          continue;
        }
        const std::int64_t row = first * kGroupRows;
        AddPanelGradients(key, row, std::min(g * kGroupRows, mask_.num_rows) - row);
      }
    }
  }

  void AddPanelGradients(std::int64_t key, std::int64_t row, std::int64_t rows) {
    const Operand q = {b_.q_RS + row * stride_, stride_};
    const Operand dout = {b_.dout_RS + row * stride_, stride_};
    for (std::int64_t first = key; first < key + PanelKeys(); first += kGroupRows) {
      const std::int64_t count = std::min<std::int64_t>(kGroupRows, key + PanelKeys() - first);
      const std::int64_t place = row * kScoreStride + first;
      AddProduct<true>(count, columns_, {b_.scores + place, kScoreStride}, dout, rows,
                       b_.dv_KS + first * stride_, stride_);
      AddProduct<true>(count, columns_, {b_.dscores + place, kScoreStride}, q, rows,
                       b_.dk_KS + first * stride_, stride_);
    }
  }

  const AttentionBackwardArgs& args_;
  BackwardBuffers b_;
  const AttentionPlan& plan_;
  std::int64_t key_head_, heads_, head_size_, stride_, columns_;
  std::int64_t begin_, rows_;  // the document
  std::int64_t document_id_;
  TileMask mask_;
};

void RunBackwardPiece(const AttentionBackwardArgs& args, const BackwardBuffers& buffers,
                      const AttentionWorkItem& item, std::int64_t key_head) {
  if (args.q_TNH.dtype == DType::kBFloat16) {
    BackwardPiece<bf16>(args, buffers, item, key_head).Run();
  } else {
    BackwardPiece<float>(args, buffers, item, key_head).Run();
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sequela::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(RunBackwardPiece);

void AttentionBackward(const Exec& exec, const AttentionBackwardArgs& args) {
  WorkspaceCarver carver(exec.workspace);
  std::vector<BackwardBuffers> buffers;
  buffers.reserve(static_cast<std::size_t>(exec.num_threads));
  for (int thread = 0; thread < exec.num_threads; ++thread) {
    buffers.push_back(TakeBackwardBuffers(carver, args.shape, args.plan->longest_document()));
  }
  const auto items = args.plan->backward_items();
  const std::int64_t key_heads = args.shape.num_key_heads;
  ParallelFor(exec.num_threads, std::ssize(items) * key_heads, [&](std::int64_t piece, int thread) {
    HWY_DYNAMIC_DISPATCH(RunBackwardPiece)
    (args, buffers[static_cast<std::size_t>(thread)],
     items[static_cast<std::size_t>(piece / key_heads)], piece % key_heads);
  });
}

std::int64_t AttentionBackwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape,
                                             std::int64_t longest_document) {
  WorkspaceCarver carver;
  for (int thread = 0; thread < exec.num_threads; ++thread) {
    TakeBackwardBuffers(carver, shape, longest_document);
  }
  return carver.used_bytes();
}

}  // namespace sequela::cpu
#endif
