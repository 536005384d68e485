// Everything that training changes, on one rank: the flat buffers of weights and gradients, the
// optimizer's state, and the decoder with its arena. Checkpoints are made of optimizer()
// (runtime/checkpoint.h) and config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "runtime/communicator.h"
#include "runtime/device.h"
#include "runtime/gradient_buckets.h"
#include "runtime/parameter_table.h"
#include "runtime/sharded_optimizer.h"
#include "trainer/model/decoder.h"
#include "trainer/model/hf_model.h"

namespace sequela {

struct TrainStateOptions {
  DecoderOptions decoder;
  AdamWOptions optimizer;
  int zero_stage = 1;  // 0, 1 or 2
};

// One thread at a time: the training thread.
class TrainState {
 public:
  // Allocates what PlanMemory says (trainer/training/memory_plan.h). Weights are zeros until
  // Initialize, LoadModel or RestoreCheckpoint (runtime/checkpoint.h). Borrows `device`, where
  // everything lives, and `communicator`, which sums its memory.
  TrainState(const ModelConfig& config, const TrainStateOptions& options,
             Communicator& communicator, Device& device = HostDevice());
  TrainState(const TrainState&) = delete;
  TrainState& operator=(const TrainState&) = delete;

  // New weights, a function of (seed, parameter name) alone (trainer/model/initializer.h);
  // optimizer state zero. The same on every rank without communication.
  void Initialize(std::uint64_t seed);
  // Weights of a Hugging Face folder or of a checkpoint of ours; optimizer state zero. Throws
  // InputError naming the tensor that is missing, unknown or of another shape.
  void LoadModel(const std::filesystem::path& folder);
  // The same of weights that are open already and of this model's architecture.
  void LoadModel(const ModelWeights& weights);

  const ModelConfig& config() const { return decoder_.config(); }
  const TrainStateOptions& options() const { return options_; }
  const ParameterTable& table() const { return decoder_.table(); }
  Communicator& communicator() { return communicator_; }
  Device& device() { return buffers_.device(); }
  Decoder& decoder() { return decoder_; }
  FlatBuffers& buffers() { return buffers_; }
  GradientBuckets& buckets() { return buckets_; }
  ShardedOptimizer& optimizer() { return optimizer_; }

 private:
  TrainStateOptions options_;
  Communicator& communicator_;
  Decoder decoder_;
  FlatBuffers buffers_;
  GradientBuckets buckets_;
  ShardedOptimizer optimizer_;
};

}  // namespace sequela
