// Forward attention. A piece of work is up to kForwardRows rows of one document and one key head:
// for each block of keys, packed once for all query heads that share them, online softmax over
// tiles.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/attention_layout.h"
#include "kernels/cpu/parallel_for.h"
#include "kernels/layout/workspace_carver.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_forward.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h.
#include "kernels/cpu/attention_tiles-inl.h"

#ifndef SEQUELA_KERNELS_CPU_ATTENTION_FORWARD_ONCE
#define SEQUELA_KERNELS_CPU_ATTENTION_FORWARD_ONCE
namespace sequela::cpu {

// (row, query head) pairs that share one packing of keys.
inline std::int64_t PairsAtOnce(std::int64_t heads_per_key) {
  return std::max<std::int64_t>(AttentionPlan::kForwardRows, heads_per_key * kForwardTileRows);
}

struct ForwardBuffers {
  float* q;       // [tile rows][row stride]
  float* panels;  // keys, transposed
  float* v;       // [tile keys][row stride]
  float* scores;  // [tile rows][kScoreStride]
  float* out;     // [pairs][row stride], not yet divided
  float* max;     // [pairs] of the scores so far
  float* sum;     // [pairs] of exp(scale * (score - max)) so far
};

inline ForwardBuffers TakeForwardBuffers(WorkspaceCarver& carver, const AttentionShape& shape) {
  const std::int64_t stride = RowStride(shape.head_size);
  const std::int64_t pairs = PairsAtOnce(shape.num_query_heads / shape.num_key_heads);
  ForwardBuffers b{};
  b.q = carver.Take<float>(kForwardTileRows * stride);
  b.panels = carver.Take<float>(ForwardTileKeys(shape.head_size) * shape.head_size);
  b.v = carver.Take<float>(ForwardTileKeys(shape.head_size) * stride);
  b.scores = carver.Take<float>(kForwardTileRows * kScoreStride);
  b.out = carver.Take<float>(pairs * stride);
  b.max = carver.Take<float>(pairs);
  b.sum = carver.Take<float>(pairs);
  return b;
}

}  // namespace sequela::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu {
namespace HWY_NAMESPACE {

// Turns a row of scores into e^((score - max) * scale) and brings the row's running numbers up to
// date. Subtracting before scaling keeps large scores exact.
HWY_INLINE void OnlineSoftmaxRow(float* HWY_RESTRICT scores, KeyRange range, float scale,
                                 float* HWY_RESTRICT out, std::int64_t columns, float& running_max,
                                 float& running_sum) {
  const F32 d;
  auto max_v = hn::Set(d, kMinusInfinity);
  for (std::int64_t k = range.begin; k < range.end; k += Lanes()) {
    max_v = hn::Max(max_v, hn::LoadU(d, scores + k));
  }
  const float block_max = hn::GetLane(hn::MaxOfLanes(d, max_v));
  const float new_max = std::max(running_max, block_max);
  // Nothing seen yet: any finite number will do, all probabilities are e^-inf.
  const float shift = new_max == kMinusInfinity ? 0.0F : new_max;
  const auto scale_v = hn::Set(d, scale), shift_v = hn::Set(d, shift);
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  for (std::int64_t k = range.begin; k < range.end; k += 2 * Lanes()) {
    const auto p0 = Exp(d, hn::Mul(hn::Sub(hn::LoadU(d, scores + k), shift_v), scale_v));
    const auto p1 = Exp(d, hn::Mul(hn::Sub(hn::LoadU(d, scores + k + Lanes()), shift_v), scale_v));
    sum0 = hn::Add(sum0, p0);
    sum1 = hn::Add(sum1, p1);
    hn::StoreU(p0, d, scores + k);
    hn::StoreU(p1, d, scores + k + Lanes());
  }
  if (new_max > running_max) {
    const float shrink = std::exp((running_max - new_max) * scale);
    running_sum *= shrink;
    const auto shrink_v = hn::Set(d, shrink);
    for (std::int64_t h = 0; h < columns; h += Lanes()) {
      hn::StoreU(hn::Mul(shrink_v, hn::LoadU(d, out + h)), d, out + h);
    }
    running_max = new_max;
  }
  running_sum += hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
}

template <typename T>
class ForwardPiece {
 public:
  ForwardPiece(const AttentionForwardArgs& args, const ForwardBuffers& buffers,
               const AttentionWorkItem& item, std::int64_t key_head)
      : args_(args), b_(buffers), plan_(*args.plan), item_(item), key_head_(key_head) {
    heads_ = args.shape.num_query_heads / args.shape.num_key_heads;
    head_size_ = args.shape.head_size;
    stride_ = RowStride(head_size_);
    tile_keys_ = ForwardTileKeys(head_size_);
    columns_ = (head_size_ + Lanes() - 1) / Lanes() * Lanes();
    document_begin_ = plan_.document_begin(item.document);
  }

  void Run() {
    const std::int64_t step = PairsAtOnce(heads_) / heads_ / kForwardTileRows * kForwardTileRows;
    const std::int64_t end = item_.first_row + item_.num_rows;
    for (std::int64_t first = item_.first_row; first < end; first += step) {
      RunRows(first, std::min(step, end - first));
    }
  }

 private:
  // The rows [first, first + rows) with all heads of the group.
  void RunRows(std::int64_t first, std::int64_t rows) {
    const std::int64_t pairs = heads_ * rows;
    std::fill(b_.out, b_.out + pairs * stride_, 0.0F);
    std::fill(b_.max, b_.max + pairs, kMinusInfinity);
    std::fill(b_.sum, b_.sum + pairs, 0.0F);
    const std::int64_t kv_begin = plan_.kv_begin()[static_cast<std::size_t>(first)];
    const std::int64_t kv_end = plan_.kv_end()[static_cast<std::size_t>(first + rows - 1)];
    // Blocks of keys begin at multiples counted from the document's begin: a document's sums do not
    // depend on where it lies in the batch.
    std::int64_t key = kv_begin - (kv_begin - document_begin_) % tile_keys_;
    for (; key < kv_end; key += tile_keys_) {
      const std::int64_t keys = std::min(tile_keys_, kv_end - key);
      PackKeys(key, keys);
      for (std::int64_t tile = 0; tile < rows; tile += kForwardTileRows) {
        const std::int64_t tile_rows = std::min(kForwardTileRows, rows - tile);
        FillTileMask(plan_, first + tile, tile_rows, key, keys, mask_);
        if (mask_.empty) continue;
        for (std::int64_t head = 0; head < heads_; ++head) {
          RunTile(first + tile, head, head * rows + tile, key);
        }
      }
    }
    for (std::int64_t head = 0; head < heads_; ++head) Finish(first, rows, head);
  }

  void PackKeys(std::int64_t key, std::int64_t keys) {
    const auto* k = args_.k_TGH.As<T>() + key * args_.k_TGH.stride + key_head_ * head_size_;
    const auto* v = args_.v_TGH.As<T>() + key * args_.v_TGH.stride + key_head_ * head_size_;
    PackPanels(k, args_.k_TGH.stride, keys, head_size_, b_.panels);
    PackRows(v, args_.v_TGH.stride, keys, head_size_, b_.v, stride_);
    // Whole panels are read: keys that are not there weigh nothing, and must not be NaN.
    const std::int64_t padded = RoundUp(keys, PanelKeys());
    std::fill(b_.v + keys * stride_, b_.v + padded * stride_, 0.0F);
  }

  void RunTile(std::int64_t row, std::int64_t head, std::int64_t pair, std::int64_t key) {
    const std::int64_t query_head = key_head_ * heads_ + head;
    const auto* q = args_.q_TNH.As<T>() + row * args_.q_TNH.stride + query_head * head_size_;
    PackRows(q, args_.q_TNH.stride, mask_.num_rows, head_size_, b_.q, stride_);
    ScoreTile(mask_, b_.q, stride_, b_.panels, head_size_, b_.scores);
    const float scale = args_.softmax_scale;
    const DropoutStream dropout(args_.dropout, plan_.document_id(item_.document), query_head);
    for (std::int64_t g = 0; g < mask_.num_groups; ++g) {
      const KeyRange range = mask_.group[g];
      if (range.empty()) continue;
      for (std::int64_t r = g * kGroupRows; r < g * kGroupRows + mask_.GroupRows(g); ++r) {
        float* scores = b_.scores + r * kScoreStride;
        MaskRow(mask_, r, scores);
        OnlineSoftmaxRow(scores, range, scale, b_.out + (pair + r) * stride_, columns_,
                         b_.max[pair + r], b_.sum[pair + r]);
        if (dropout.active()) {
          DropRow(dropout, row + r - document_begin_, key - document_begin_, range, scores);
        }
      }
      const std::int64_t r = g * kGroupRows;
      AddProduct<false>(mask_.GroupRows(g), columns_,
                        {b_.scores + r * kScoreStride + range.begin, kScoreStride},
                        {b_.v + range.begin * stride_, stride_}, range.end - range.begin,
                        b_.out + (pair + r) * stride_, stride_);
    }
  }

  void Finish(std::int64_t first, std::int64_t rows, std::int64_t head) {
    const F32 d;
    const std::int64_t query_head = key_head_ * heads_ + head;
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t pair = head * rows + r;
      float* out = b_.out + pair * stride_;
      const float sum = b_.sum[pair];
      const auto inverse = hn::Set(d, sum == 0.0F ? 0.0F : 1.0F / sum);
      for (std::int64_t h = 0; h < columns_; h += Lanes()) {
        hn::StoreU(hn::Mul(inverse, hn::LoadU(d, out + h)), d, out + h);
      }
      ConvertRow(
          out, args_.out_TNH.As<T>() + (first + r) * args_.out_TNH.stride + query_head * head_size_,
          head_size_);
      args_.lse_TN.As<float>()[(first + r) * args_.lse_TN.stride + query_head] =
          sum == 0.0F ? kMinusInfinity : b_.max[pair] * args_.softmax_scale + std::log(sum);
    }
  }

  const AttentionForwardArgs& args_;
  ForwardBuffers b_;
  const AttentionPlan& plan_;
  AttentionWorkItem item_;
  std::int64_t key_head_, heads_, head_size_, stride_, tile_keys_, columns_, document_begin_;
  TileMask mask_;
};

void RunForwardPiece(const AttentionForwardArgs& args, const ForwardBuffers& buffers,
                     const AttentionWorkItem& item, std::int64_t key_head) {
  if (args.q_TNH.dtype == DType::kBFloat16) {
    ForwardPiece<bf16>(args, buffers, item, key_head).Run();
  } else {
    ForwardPiece<float>(args, buffers, item, key_head).Run();
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sequela::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(RunForwardPiece);

void AttentionForward(const Exec& exec, const AttentionForwardArgs& args) {
  WorkspaceCarver carver(exec.workspace);
  std::vector<ForwardBuffers> buffers;
  buffers.reserve(static_cast<std::size_t>(exec.num_threads));
  for (int thread = 0; thread < exec.num_threads; ++thread) {
    buffers.push_back(TakeForwardBuffers(carver, args.shape));
  }
  const auto items = args.plan->forward_items();
  const std::int64_t key_heads = args.shape.num_key_heads;
  ParallelFor(exec.num_threads, std::ssize(items) * key_heads, [&](std::int64_t piece, int thread) {
    HWY_DYNAMIC_DISPATCH(RunForwardPiece)
    (args, buffers[static_cast<std::size_t>(thread)],
     items[static_cast<std::size_t>(piece / key_heads)], piece % key_heads);
  });
}

std::int64_t AttentionForwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape) {
  WorkspaceCarver carver;
  for (int thread = 0; thread < exec.num_threads; ++thread) TakeForwardBuffers(carver, shape);
  return carver.used_bytes();
}

}  // namespace sequela::cpu
#endif
