// The decoder: embedding, blocks (trainer/decoder_block.h), final norm and loss
// (trainer/loss_head.h), forward and backward over one packed batch (dataio/batch.h). It owns the
// activations' arena, planned in the constructor; weights and gradients are the caller's flat
// buffers (runtime/parameter_table.h).
//
// Determinism: results are the same bits for any number of threads, any recompute level and any
// content of other documents; batch composition changes them by rounding at most.
// One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "dataio/batch.h"
#include "kernels/base/tensor_view.h"
#include "runtime/parameter_table.h"
#include "trainer/activation_plan.h"
#include "trainer/model_config.h"

namespace sequela {

// The pieces of all parameters under their Hugging Face names, in the order in which backward
// finishes their gradients (architecture.md 4): lm_head (untied), final norm, layers from the last
// to the first, embedding (tied: with the head's share) last. q, k, v and gate, up are adjacent.
ParameterTable BuildParameterTable(const ModelConfig& config);

// The flat buffers that a pass reads.
struct DecoderWeights {
  const void* weights = nullptr;   // [table.num_elements()] compute dtype
  const float* vectors = nullptr;  // fp32, same offsets: only pieces of one dimension (norm gains
                                   // and biases) are read here; in fp32 this is `weights`
};

// How backward tells the outside what it has finished.
struct BackwardHooks {
  // The gradients of the pieces [0, num_pieces) of the table are complete for this batch.
  std::function<void(std::int64_t num_pieces)> pieces_complete;
  // Called between operations, forward and backward: communication makes progress here.
  std::function<void()> poll;
};

struct BatchLoss {
  double loss_sum = 0.0;     // sum over targets of weight * nll, natural log
  double weight_sum = 0.0;   // sum over targets of weight
  std::int64_t targets = 0;  // rows with a target
};

// What evaluation learns of every row; rows without target hold zeros and rank -1.
struct TokenScores {
  std::vector<float> nll;  // [T] -ln p(target)
  std::vector<float>
      corrected_nll;  // [T] of p proportional to exp(logit - log_weight); empty without
  std::vector<std::int32_t> rank;  // [T] how many tokens are likelier than the target (0: top 1)
};

class Decoder {
 public:
  // Plans and allocates the arena. Throws MachineError where the memory is not to be had.
  Decoder(const ModelConfig& config, const DecoderOptions& options);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  const ModelConfig& config() const;
  const DecoderOptions& options() const;
  const ParameterTable& table() const;
  std::int64_t arena_bytes() const;

  // Adds the un-normalised gradient sums of the batch's loss to `gradients` [table.num_elements()]
  // fp32. `dropout_seed` is a function of (seed, step): a row's dropout depends on it, the row's
  // sample and its position alone. A batch without tokens or targets is fine: hooks are called all
  // the same. REQUIRES: batch.num_tokens() <= options().max_tokens.
  BatchLoss ForwardBackward(const DecoderWeights& weights, const Batch& batch,
                            std::uint64_t dropout_seed, float* gradients,
                            const BackwardHooks& hooks = {});

  // Forward alone, without dropout. `log_weights` [vocab_size] or empty: what corrected_nll takes
  // off the logits (the loss weight of each token as a target, records.md 12).
  TokenScores Evaluate(const DecoderWeights& weights, const Batch& batch,
                       std::span<const float> log_weights = {});

  // Forward alone: fp32 logits [T, vocab_size] of every row. For tests and small batches.
  void Logits(const DecoderWeights& weights, const Batch& batch, std::span<float> logits);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sequela
