// The output projection and its softmax cross-entropy, in chunks of rows so that the logits of all
// rows never exist at once. logits_TV = hidden_TD W_VD^T; nll_t = -ln softmax(logits_t)[target_t].
// Rows without a target are dropped before the projection. Sums are in a fixed order: the number of
// threads does not change a bit, and a row's nll depends on no other row's numbers.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"

namespace sequela {

inline constexpr std::int32_t kNoTarget = -1;

// T tokens, V vocabulary, D hidden size. Loss = sum_t weight_t * nll_t, not normalised by anything:
// the caller divides by the global weight (once, in the optimizer).
struct CrossEntropyArgs {
  ConstTensorView hidden_TD;             // fp32 or bf16; read
  ConstTensorView weight_VD;             // the projection W; the dtype of hidden; read
  std::span<const std::int32_t> target;  // [T], in [0, V) or kNoTarget
  std::span<const float> loss_weight;    // [T] or empty (all 1); ignored where there is no target
  std::span<float> nll;                  // [T]; written in full: unweighted, 0 where no target
  TensorView dhidden_TD;  // written in full: d Loss / d hidden, 0 where no target; the
                          // dtype of hidden; may not overlap it
  TensorView dweight_VD;  // fp32; d Loss / d W is ADDED to it
};

// REQUIRES: the shapes above and Exec::workspace of at least CrossEntropyWorkspaceBytes.
void CrossEntropy(const Exec& exec, const CrossEntropyArgs& args);

// Bounded: about 40 MB and a few MB per thread, whatever T is, while V * 256 bytes stay below that.
std::int64_t CrossEntropyWorkspaceBytes(const Exec& exec, std::int64_t vocabulary,
                                        std::int64_t hidden_size, DType dtype);

// The same without gradients, with what evaluation asks for. Empty spans are not computed.
struct CrossEntropyEvaluateArgs {
  ConstTensorView hidden_TD;
  ConstTensorView weight_VD;
  std::span<const std::int32_t> target;  // [T], in [0, V) or kNoTarget
  // Corrects for training with class weights w (records.md: such logits are off by ln w): softmax
  // is taken over logits - log_class_weight for corrected_nll, group_nll and rank.
  std::span<const float> log_class_weight;       // [V] or empty
  std::span<const std::int32_t> group_of_token;  // [V] or empty; any integers
  std::span<float> nll;                          // [T]; 0 where no target; required
  std::span<float> corrected_nll;                // [T] or empty; needs log_class_weight
  std::span<float> group_nll;    // [T] or empty; -ln of the probability of the target's
                                 // whole group (corrected where log_class_weight is
                                 // given); needs group_of_token
  std::span<std::int32_t> rank;  // [T] or empty; tokens with a larger (corrected) logit
                                 // than the target, equal ones of lower index too: 0 is
                                 // best; -1 where no target
};

// Exec::workspace of CrossEntropyWorkspaceBytes suffices.
void CrossEntropyEvaluate(const Exec& exec, const CrossEntropyEvaluateArgs& args);

}  // namespace sequela
