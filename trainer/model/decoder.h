// The decoder: embedding, blocks (trainer/model/decoder_block.h), final norm and loss
// (trainer/model/loss_head.h), forward and backward over one packed batch (dataio/loader/batch.h).
// It owns the arena of activations, planned in the constructor (trainer/model/activations.h);
// weights and gradients are the caller's (runtime/parameter_table.h), on the same device.
//
// On a GPU a pass is only enqueued: the host prepares the next batch while the device computes this
// one, and learns the loss when it asks for it (TakeLoss).
//
// Results are the same bits for any number of threads, any recompute level, and any content of the
// other documents of a batch; a batch's composition changes them by rounding at most.
// One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "dataio/loader/batch.h"
#include "runtime/device.h"
#include "runtime/parameter_table.h"
#include "trainer/model/activations.h"
#include "trainer/model/model_config.h"

namespace sequela {

// What happens between operations. Either may be empty.
struct PassHooks {
  // The gradient of this piece of the table is complete for this batch. Called once for every
  // piece, in the table's order, also for a batch without tokens.
  std::function<void(int piece)> piece_complete;
  // After every operation, forward and backward, with its name: communication makes progress here.
  std::function<void(const char* operation)> after_operation;
};

// What dropout is a function of, beside a row's sample, position and channel.
struct DropoutKeys {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
};

struct BatchLoss {
  double loss_sum = 0.0;             // sum over targets of weight * nll (natural logarithm)
  std::int64_t non_finite_row = -1;  // the first row whose nll is NaN or infinite
};

// What evaluation learns of every row; rows without target hold 0, and rank -1.
struct TokenScores {
  std::vector<float> nll;            // [T] -ln p(target)
  std::vector<float> corrected_nll;  // [T] with p proportional to exp(logit - log_class_weight)
  std::vector<float> group_nll;      // [T] of the target's whole group, corrected where asked for
  std::vector<std::int32_t> rank;    // [T] how many tokens are likelier than the target (0: top
                                     // 1), corrected where asked for
};

// What evaluation may ask for beyond nll and rank. Empty: not asked for, and empty in the scores.
struct EvaluateOptions {
  std::span<const float> log_class_weight;       // [vocab_size] ln of the loss weights of training
  std::span<const std::int32_t> group_of_token;  // [vocab_size] any integers
};

class Decoder {
 public:
  // Plans and allocates the arena on `device`, which is borrowed. Throws MachineError where there
  // is not enough memory.
  Decoder(const ModelConfig& config, const DecoderOptions& options, Device& device = HostDevice());
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  const ModelConfig& config() const;
  const DecoderOptions& options() const;
  const ParameterTable& table() const;  // lives as long as the decoder
  std::int64_t arena_bytes() const;

  // Adds the un-normalised gradient of the batch's loss sum to the buffers' gradients. `batch` must
  // live until its loss was taken.
  // REQUIRES: batch.num_tokens() <= options().max_tokens; buffers of this decoder's table, device
  // and compute dtype, with gradients; options().with_backward.
  void StartForwardBackward(FlatBuffers& buffers, const Batch& batch, const DropoutKeys& dropout,
                            const PassHooks& hooks = {});
  // The loss of the oldest batch whose loss was not taken yet; waits for the device.
  BatchLoss TakeLoss();
  // Both at once.
  BatchLoss ForwardBackward(FlatBuffers& buffers, const Batch& batch, const DropoutKeys& dropout,
                            const PassHooks& hooks = {});

  // Forward alone, without dropout. REQUIRES: as above, without what concerns gradients.
  TokenScores Evaluate(FlatBuffers& buffers, const Batch& batch,
                       const EvaluateOptions& options = {}, const PassHooks& hooks = {});

  // Forward alone: fp32 logits [T, vocab_size] of every row; for tests and small batches.
  void Logits(FlatBuffers& buffers, const Batch& batch, std::span<float> logits);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sequela
