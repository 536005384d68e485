// What surrounds the losses of cross-entropy (cross_entropy_loss.cu), and the scores of evaluation:
// rows are copied by packs, logits read once, one block a row.
#include "kernels/cuda/block_merge.cuh"
#include "kernels/cuda/cross_entropy_kernels.h"
#include "kernels/cuda/packs.cuh"
#include "kernels/cuda/sum_of_exps.cuh"

namespace sequela::cuda {

template <typename T>
__device__ void CopyRow(const CopyRowsParams<T>& p, const T* from, T* to) {
  constexpr int kStep = kInPack<T> * kRowCopyThreads;
  for (std::int64_t c = threadIdx.x * kInPack<T>; c < p.columns; c += kStep) {
    WithPart<kInPack<T>>(static_cast<std::uint32_t>(p.columns - c), p.vectors,
                         [&](auto part) { Store(Load<kInPack<T>>(from + c, part), to + c, part); });
  }
}

template <typename T>
__device__ void GatherRow(const CopyRowsParams<T>& p) {
  CopyRow(p, p.from.Row(p.row_of[blockIdx.x]), p.to.Row(blockIdx.x));
}

template <typename T>
__device__ void ScatterRow(const CopyRowsParams<T>& p) {
  CopyRow(p, p.from.Row(blockIdx.x), p.to.Row(p.row_of[blockIdx.x]));
}

template <typename T>
__device__ void ClearLossRow(const ClearLossParams<T>& p) {
  if (p.target[blockIdx.x] >= 0) return;
  T* row = p.dhidden.Row(blockIdx.x);
  for (std::int64_t c = threadIdx.x; c < p.columns; c += kRowCopyThreads) StoreFloat(row + c, 0.0F);
  if (threadIdx.x == 0) p.nll[blockIdx.x] = 0.0F;
}

// body(i, logit i) for this thread's part of the row: vectors of four, then what is left.
template <typename Body>
__device__ void ForLogits(const float* row, int vocabulary, const Body& body) {
  const int vectors = vocabulary / 4;
  for (int v = threadIdx.x; v < vectors; v += blockDim.x) {
    const float4 x = reinterpret_cast<const float4*>(row)[v];
    body(4 * v, x.x);
    body(4 * v + 1, x.y);
    body(4 * v + 2, x.z);
    body(4 * v + 3, x.w);
  }
  const int rest = 4 * vectors + threadIdx.x;
  if (rest < vocabulary) body(rest, row[rest]);
}

// What evaluation finds in a row, or in a thread's part of it.
struct RowFindings {
  SumOfExps exps;
  SumOfExps corrected;  // of the logits less ln of the class weights, as all that follows
  SumOfExps group;      // of the target's group alone
  int rank = 0;

  __device__ void Merge(const RowFindings& other) {
    exps.Merge(other.exps);
    corrected.Merge(other.corrected);
    group.Merge(other.group);
    rank += other.rank;
  }
  __device__ RowFindings FromLane(int mask) const {
    return {exps.FromLane(mask), corrected.FromLane(mask), group.FromLane(mask),
            __shfl_xor_sync(0xffffffffU, rank, mask)};
  }
};

__device__ void EvaluateRow(const EvaluateParams& p) {
  const LogitRows<float>& logits = p.logits;
  const float* const row = logits.data + blockIdx.x * logits.stride;
  const int token = logits.row_of[blockIdx.x];
  const int target = logits.target[token];
  const auto corrected = [&](int i, float logit) {
    return p.log_class_weight == nullptr ? logit : logit - p.log_class_weight[i];
  };
  const float of_target = corrected(target, row[target]);
  const int group = p.group_of_token == nullptr ? 0 : p.group_of_token[target];
  RowFindings found;
  ForLogits(row, logits.vocabulary, [&](int i, float logit) {
    const float x = corrected(i, logit);
    found.exps.Add(logit);
    found.corrected.Add(x);
    found.rank += x > of_target || (x == of_target && i < target) ? 1 : 0;
    if (p.group_of_token != nullptr && p.group_of_token[i] == group) found.group.Add(x);
  });
  found = MergeOverBlock<kMaxLogitThreads>(found);
  if (threadIdx.x != 0) return;
  const Scores& scores = p.scores;
  scores.nll[token] = found.exps.NegativeLogProbability(row[target]);
  if (scores.corrected_nll != nullptr) {
    scores.corrected_nll[token] = found.corrected.NegativeLogProbability(of_target);
  }
  if (scores.group_nll != nullptr) {
    scores.group_nll[token] =
        found.corrected.NegativeLogProbability(found.group.max) - logf(found.group.sum);
  }
  if (scores.rank != nullptr) scores.rank[token] = found.rank;
}

__device__ void ClearScores(const ClearScoresParams& p) {
  const std::int64_t token =
      static_cast<std::int64_t>(blockIdx.x) * kClearScoresThreads + threadIdx.x;
  if (token >= p.tokens || p.target[token] >= 0) return;
  p.scores.nll[token] = 0.0F;
  if (p.scores.corrected_nll != nullptr) p.scores.corrected_nll[token] = 0.0F;
  if (p.scores.group_nll != nullptr) p.scores.group_nll[token] = 0.0F;
  if (p.scores.rank != nullptr) p.scores.rank[token] = -1;
}

#define SEQUELA_ROW_KERNEL SEQUELA_KERNEL __launch_bounds__(kRowCopyThreads)
SEQUELA_ROW_KERNEL sequela_gather_rows_f32(CopyRowsParams<float> p) { GatherRow(p); }
SEQUELA_ROW_KERNEL sequela_gather_rows_bf16(CopyRowsParams<bf16> p) { GatherRow(p); }
SEQUELA_ROW_KERNEL sequela_scatter_rows_f32(CopyRowsParams<float> p) { ScatterRow(p); }
SEQUELA_ROW_KERNEL sequela_scatter_rows_bf16(CopyRowsParams<bf16> p) { ScatterRow(p); }
SEQUELA_ROW_KERNEL sequela_clear_loss_f32(ClearLossParams<float> p) { ClearLossRow(p); }
SEQUELA_ROW_KERNEL sequela_clear_loss_bf16(ClearLossParams<bf16> p) { ClearLossRow(p); }

SEQUELA_KERNEL __launch_bounds__(kMaxLogitThreads)
    sequela_cross_entropy_evaluate(EvaluateParams p) {
  EvaluateRow(p);
}

SEQUELA_KERNEL __launch_bounds__(kClearScoresThreads) sequela_clear_scores(ClearScoresParams p) {
  ClearScores(p);
}

}  // namespace sequela::cuda
