// Softmax of rows of logits, one block a row. A row is read once for its maximum and its sum of
// exponentials, which each thread keeps up to date together, and once more for the gradient.
#include <cfloat>

#include "kernels/cuda/block_merge.cuh"
#include "kernels/cuda/cross_entropy_kernels.h"
#include "kernels/cuda/elements.cuh"

namespace sequela::cuda {

template <typename T>
__device__ void CopyRow(const T* from, T* to, std::int64_t columns) {
  for (std::int64_t c = threadIdx.x; c < columns; c += kRowCopyThreads) to[c] = from[c];
}

template <typename T>
__device__ void GatherRow(const CopyRowsParams<T>& p) {
  CopyRow(p.from.Row(p.row_of[blockIdx.x]), p.to.Row(blockIdx.x), p.columns);
}

template <typename T>
__device__ void ScatterRow(const CopyRowsParams<T>& p) {
  CopyRow(p.from.Row(blockIdx.x), p.to.Row(p.row_of[blockIdx.x]), p.columns);
}

template <typename T>
__device__ void ClearLossRow(const ClearLossParams<T>& p) {
  if (p.target[blockIdx.x] >= 0) return;
  T* row = p.dhidden.Row(blockIdx.x);
  for (std::int64_t c = threadIdx.x; c < p.columns; c += kRowCopyThreads) StoreFloat(row + c, 0.0F);
  if (threadIdx.x == 0) p.nll[blockIdx.x] = 0.0F;
}

// Of the numbers x that were added: sum e^x = e^max * sum. A NaN stays in the sum.
struct SumOfExps {
  float max = -FLT_MAX;  // not -inf, from which no -inf can be subtracted
  float sum = 0.0F;

  // One exponential, whichever of x and max is larger, and no branch.
  __device__ void Add(float x) {
    const float ratio = expf(-fabsf(x - max));
    const bool larger = x > max;
    sum = larger ? fmaf(sum, ratio, 1.0F) : sum + ratio;
    max = larger ? x : max;
  }
  __device__ void Merge(const SumOfExps& other) {
    const float of_both = fmaxf(max, other.max);
    sum = fmaf(sum, expf(max - of_both), other.sum * expf(other.max - of_both));
    max = of_both;
  }
  __device__ SumOfExps FromLane(int mask) const {
    return {__shfl_xor_sync(0xffffffffU, max, mask), __shfl_xor_sync(0xffffffffU, sum, mask)};
  }
  // -ln(e^x / sum of exps).
  __device__ float NegativeLogProbability(float x) const { return logf(sum) + (max - x); }
};

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

__device__ void StoreFour(const float4& x, float* to) { *reinterpret_cast<float4*>(to) = x; }
__device__ void StoreFour(const float4& x, bf16* to) {
  bf16 rounded[4];
  StoreFloat(&rounded[0], x.x);
  StoreFloat(&rounded[1], x.y);
  StoreFloat(&rounded[2], x.z);
  StoreFloat(&rounded[3], x.w);
  *reinterpret_cast<ushort4*>(to) =
      make_ushort4(rounded[0].bits, rounded[1].bits, rounded[2].bits, rounded[3].bits);
}

// weight * (softmax - [i == target]) of a row.
struct LogitGradient {
  float max, scale, at_target;
  int target;

  __device__ LogitGradient(const SumOfExps& exps, float weight, int target_in, float of_target)
      : max(exps.max),
        scale(weight / exps.sum),
        at_target(weight * (expf(of_target - exps.max) / exps.sum - 1.0F)),
        target(target_in) {}
  __device__ float operator()(int i, float logit) const {
    return i == target ? at_target : scale * expf(logit - max);
  }
};

// Writes the gradient over the logits. bf16 numbers lie below the fp32 ones that they come from, on
// logits that another thread may still have to read: so the block reads a piece, waits, and only
// then writes it. What a piece overwrites was read with it or before.
template <typename T>
__device__ void ReplaceByGradient(float* row, int vocabulary, const LogitGradient& gradient) {
  T* const out = reinterpret_cast<T*>(row);
  const int vectors = vocabulary / 4;
  for (int first = 0; first < vectors; first += blockDim.x) {
    const int v = first + threadIdx.x;
    float4 x = {};
    if (v < vectors) x = reinterpret_cast<const float4*>(row)[v];
    if constexpr (sizeof(T) < sizeof(float)) __syncthreads();
    if (v < vectors) {
      StoreFour({gradient(4 * v, x.x), gradient(4 * v + 1, x.y), gradient(4 * v + 2, x.z),
                 gradient(4 * v + 3, x.w)},
                out + 4 * v);
    }
  }
  const int rest = 4 * vectors + threadIdx.x;
  const float x = rest < vocabulary ? row[rest] : 0.0F;
  __syncthreads();
  if (rest < vocabulary) StoreFloat(out + rest, gradient(rest, x));
}

template <typename T>
__device__ void LossRow(const LossParams& p) {
  const LogitRows& logits = p.logits;
  float* const row = logits.data + blockIdx.x * logits.stride;
  const int token = logits.row_of[blockIdx.x];
  const int target = logits.target[token];
  const float of_target = row[target];
  SumOfExps exps;
  ForLogits(row, logits.vocabulary, [&](int, float logit) { exps.Add(logit); });
  exps = MergeOverBlock<kMaxLogitThreads>(exps);
  if (threadIdx.x == 0) p.nll[token] = exps.NegativeLogProbability(of_target);
  const float weight = p.loss_weight == nullptr ? 1.0F : p.loss_weight[token];
  ReplaceByGradient<T>(row, logits.vocabulary, LogitGradient(exps, weight, target, of_target));
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
  const LogitRows& logits = p.logits;
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

#define SEQUELA_LOGIT_KERNEL SEQUELA_KERNEL __launch_bounds__(kMaxLogitThreads)
SEQUELA_LOGIT_KERNEL sequela_cross_entropy_loss_f32(LossParams p) { LossRow<float>(p); }
SEQUELA_LOGIT_KERNEL sequela_cross_entropy_loss_bf16(LossParams p) { LossRow<bf16>(p); }
SEQUELA_LOGIT_KERNEL sequela_cross_entropy_evaluate(EvaluateParams p) { EvaluateRow(p); }

SEQUELA_KERNEL __launch_bounds__(kClearScoresThreads) sequela_clear_scores(ClearScoresParams p) {
  ClearScores(p);
}

}  // namespace sequela::cuda
