// The output projection and its softmax cross-entropy, in chunks of rows so that the logits of all
// rows never exist at once. logits_TV = hidden_TD W_VD^T; nll_t = -ln softmax(logits_t)[target_t].
// Rows without a target are dropped before the projection. Sums are in a fixed order: the number of
// threads does not change a bit, and a row's nll depends on no other row's numbers. No two backends
// promise the same bits.
// Logits are fp32, with one exception: in training with bf16 CUDA rounds them to bf16 before the
// softmax. In bf16 every backend rounds their gradients to bf16.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"

namespace sequela {

inline constexpr std::int32_t kNoTarget = -1;

// Which rows of a batch have a target. The CUDA version needs it: the shapes of its products are
// known on the host, which never reads device memory. Built once a batch from the host's targets;
// Build reuses its memory and allocates only while batches grow (Reserve avoids that). One thread
// at a time.
class CrossEntropyPlan {
 public:
  void Reserve(std::int64_t max_tokens);
  // REQUIRES: each target in [0, vocabulary) or kNoTarget.
  void Build(std::span<const std::int32_t> target, std::int64_t vocabulary);

  std::int64_t num_tokens() const { return num_tokens_; }
  std::int64_t vocabulary() const { return vocabulary_; }
  std::span<const std::int32_t> rows() const { return rows_; }  // those with a target, ascending

  // What the kernels read of the plan, to be copied to the device before the call.
  std::int64_t ImageBytes() const;
  static std::int64_t ImageBytesBound(std::int64_t max_tokens);  // of any batch of so many tokens
  // REQUIRES: `image` of at least ImageBytes, 16-byte aligned.
  void WriteImage(std::span<std::byte> image) const;

 private:
  std::int64_t num_tokens_ = 0;
  std::int64_t vocabulary_ = 0;
  std::vector<std::int32_t> rows_;
};

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
  // For CUDA only; the CPU reads the spans alone.
  const CrossEntropyPlan* plan = nullptr;  // of the same targets
  const std::byte* plan_image = nullptr;   // what its WriteImage wrote, in device memory
};

// REQUIRES: the shapes above and Exec::workspace of at least CrossEntropyWorkspaceBytes.
void CrossEntropy(const Exec& exec, const CrossEntropyArgs& args);

// Bounded, whatever T is. CPU: about 40 MB and a few MB per thread, while V * 256 bytes stay below
// that. CUDA: at most 300 MB, unless 64 rows of fp32 logits take more: a chunk's logits and hidden
// rows (1,024 rows of bf16 at V = 131,072, 512 of fp32; at most 8,192) and 21 MB for the products.
std::int64_t CrossEntropyWorkspaceBytes(const Exec& exec, std::int64_t vocabulary,
                                        std::int64_t hidden_size, DType dtype);

// The same without gradients, with what evaluation asks for. Empty spans are not computed.
struct CrossEntropyEvaluateArgs {
  ConstTensorView hidden_TD;
  ConstTensorView weight_VD;
  std::span<const std::int32_t> target;  // [T], in [0, V) or kNoTarget
  // Corrects for training with class weights w (whose logits are off by ln w):
  // softmax is taken over logits - log_class_weight for corrected_nll, group_nll and rank.
  std::span<const float> log_class_weight;       // [V] or empty
  std::span<const std::int32_t> group_of_token;  // [V] or empty; any integers
  std::span<float> nll;                          // [T]; 0 where no target; required
  std::span<float> corrected_nll;                // [T] or empty; needs log_class_weight
  std::span<float> group_nll;              // [T] or empty; -ln of the probability of the target's
                                           // whole group (corrected where log_class_weight is
                                           // given); needs group_of_token
  std::span<std::int32_t> rank;            // [T] or empty; tokens with a larger (corrected) logit
                                           // than the target, equal ones of lower index too: 0 is
                                           // best; -1 where no target
  const CrossEntropyPlan* plan = nullptr;  // for CUDA only, as in CrossEntropyArgs
  const std::byte* plan_image = nullptr;
};

// Exec::workspace of CrossEntropyWorkspaceBytes suffices.
void CrossEntropyEvaluate(const Exec& exec, const CrossEntropyEvaluateArgs& args);

}  // namespace sequela
