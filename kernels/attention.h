// Attention over packed documents with grouped queries. Head n of the N query heads reads key head
// n / (N / G). For row i, over the keys j in the plan's interval of i:
//   s_j = softmax_scale * q_i . k_j      p = softmax(s)
//   out_i = sum_j p_j v_j                lse_i = ln sum_j exp(s_j)
// An empty interval gives out = 0, lse = -inf and zero gradients. A document's results depend on
// its own rows alone, bit for bit, wherever it lies in the batch; threads do not change them
// either. Formula of the backward pass and of the online softmax: Dao, "FlashAttention-2" (2023).
//
// CUDA: bf16 heads of 64 and 128 run on tensor cores, which multiply probabilities and score
// gradients as bf16, where no dropout is asked for and every row of every view but lse begins at a
// multiple of 16 bytes. Everything else runs on plain kernels in fp32, several times slower.
//
// Shapes: T tokens, N query heads, G key heads, H head size; q_TNH is a view [T, N * H]. All of q,
// k, v (and dq, dk, dv) may be column ranges of one buffer [T, (N + 2 G) * H].
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_plan.h"
#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"

namespace sequela {

// Drops probabilities p_j after the softmax and scales the rest by 1 / (1 - probability). What is
// dropped is a function of (seed, stream, document id, row and key within the document, head): the
// same in backward, under recomputation, and in any batch or rank.
struct AttentionDropout {
  float probability = 0.0F;  // 0 costs nothing; < 1
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;  // tells steps and layers apart
};

struct AttentionShape {
  std::int64_t num_query_heads = 0;  // N, a multiple of G
  std::int64_t num_key_heads = 0;    // G
  std::int64_t head_size = 0;        // H, a multiple of 8 up to 256
};

struct AttentionForwardArgs {
  ConstTensorView q_TNH;  // [T, N * H]; fp32 or bf16, the same for q, k, v and out; read
  ConstTensorView k_TGH;  // [T, G * H]
  ConstTensorView v_TGH;  // [T, G * H]
  TensorView out_TNH;     // [T, N * H]; written in full
  TensorView lse_TN;      // [T, N] fp32; written in full; natural logarithm, scale included
  const AttentionPlan* plan = nullptr;  // num_tokens() == T
  // CUDA: the plan's image in device memory, 64-byte aligned; unused on the CPU.
  const std::byte* plan_image = nullptr;
  AttentionShape shape;
  float softmax_scale = 0.0F;  // usually 1 / sqrt(H)
  AttentionDropout dropout;
};

// REQUIRES: the shapes above and Exec::workspace of at least AttentionForwardWorkspaceBytes.
void AttentionForward(const Exec& exec, const AttentionForwardArgs& args);
std::int64_t AttentionForwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape);

struct AttentionBackwardArgs {
  ConstTensorView q_TNH;  // as in forward
  ConstTensorView k_TGH;
  ConstTensorView v_TGH;
  ConstTensorView out_TNH;   // what forward wrote
  ConstTensorView lse_TN;    // what forward wrote
  ConstTensorView dout_TNH;  // [T, N * H]; the dtype of q
  TensorView dq_TNH;  // [T, N * H]; written in full; the dtype of q; may not overlap the inputs
  TensorView dk_TGH;  // [T, G * H]
  TensorView dv_TGH;  // [T, G * H]
  const AttentionPlan* plan = nullptr;
  const std::byte* plan_image = nullptr;  // as in forward
  AttentionShape shape;
  float softmax_scale = 0.0F;
  AttentionDropout dropout;  // as in forward
};

// REQUIRES: as forward, with AttentionBackwardWorkspaceBytes.
void AttentionBackward(const Exec& exec, const AttentionBackwardArgs& args);
// What plans will hold at most: AttentionPlan::num_tokens() and longest_document().
std::int64_t AttentionBackwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape,
                                             std::int64_t tokens, std::int64_t longest_document);

}  // namespace sequela
