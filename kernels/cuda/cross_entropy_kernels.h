// What lies between the products of cross-entropy: rows with a target are gathered, their logits
// turned into losses and gradients, the gradients of their hidden rows scattered back.
#pragma once

#include "kernels/cuda/kernel.h"

namespace sequela::cuda {

// Rows are moved in packs of so many bytes.
inline constexpr int kPackBytes = 16;
// Of the kernels that copy or clear: one block a row.
inline constexpr int kRowCopyThreads = 128;
inline constexpr int kClearScoresThreads = 256;
// Of the kernels that read logits: one block a row, of a number of threads that follows from the
// vocabulary (cross_entropy.cc), a multiple of 32 up to this one.
inline constexpr int kMaxLogitThreads = 512;

// gather: to[i] = from[row_of[i]]; scatter: to[row_of[i]] = from[i]. One block for each i.
template <typename T>
struct CopyRowsParams {
  Rows<const T> from;
  Rows<T> to;
  const std::int32_t* row_of;
  std::int64_t columns;
  bool vectors;  // both suit packs
};
SEQUELA_KERNEL sequela_gather_rows_f32(CopyRowsParams<float> p);
SEQUELA_KERNEL sequela_gather_rows_bf16(CopyRowsParams<bf16> p);
SEQUELA_KERNEL sequela_scatter_rows_f32(CopyRowsParams<float> p);
SEQUELA_KERNEL sequela_scatter_rows_bf16(CopyRowsParams<bf16> p);

// nll and the hidden gradient of rows without a target. One block a token.
template <typename T>
struct ClearLossParams {
  const std::int32_t* target;  // [T]
  float* nll;                  // [T]
  Rows<T> dhidden;
  std::int64_t columns;
};
SEQUELA_KERNEL sequela_clear_loss_f32(ClearLossParams<float> p);
SEQUELA_KERNEL sequela_clear_loss_bf16(ClearLossParams<bf16> p);

// A chunk of logits: row i belongs to token row_of[i], which has a target.
template <typename T>
struct LogitRows {
  T* data;                  // 16-byte aligned
  std::int64_t stride;      // a multiple of 16 bytes
  std::int32_t vocabulary;  // at least 1
  const std::int32_t* row_of;
  const std::int32_t* target;  // by token, as everything else
};

// nll of every row; the gradient of the logits in their place. A row's first packs are kept in
// dynamic shared memory.
template <typename T>
struct LossParams {
  LogitRows<T> logits;
  const float* loss_weight;  // null: all 1
  float* nll;
  std::int32_t packs_kept;  // at most the whole packs of a row
};
SEQUELA_KERNEL sequela_cross_entropy_loss_f32(LossParams<float> p);
SEQUELA_KERNEL sequela_cross_entropy_loss_bf16(LossParams<bf16> p);

// The scores of CrossEntropyEvaluateArgs; null is not computed, except nll.
struct Scores {
  float* nll;
  float* corrected_nll;
  float* group_nll;
  std::int32_t* rank;
};

// Those of tokens without a target. One thread a token.
struct ClearScoresParams {
  const std::int32_t* target;  // [T]
  std::int64_t tokens;
  Scores scores;
};
SEQUELA_KERNEL sequela_clear_scores(ClearScoresParams p);

// Those of every row of the chunk.
struct EvaluateParams {
  LogitRows<float> logits;
  const float* log_class_weight;       // [V] or null
  const std::int32_t* group_of_token;  // [V]; null where group_nll is
  Scores scores;
};
SEQUELA_KERNEL sequela_cross_entropy_evaluate(EvaluateParams p);

}  // namespace sequela::cuda
