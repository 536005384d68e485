// Everything that training changes, on one rank: the flat buffers of weights and gradients, the
// optimizer's state, and the decoder with its arena. Checkpoints are made of optimizer()
// (runtime/checkpoint.h) and config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "runtime/communicator.h"
#include "runtime/gradient_buckets.h"
#include "runtime/parameter_table.h"
#include "runtime/sharded_optimizer.h"
#include "trainer/decoder.h"

namespace sequela {

struct TrainStateOptions {
  DecoderOptions decoder;
  AdamWOptions optimizer;
  int zero_stage = 1;  // 0 or 1
};

// Bytes that training holds on one rank, known before anything is allocated.
struct MemoryPlan {
  std::int64_t parameters = 0;    // elements, tied ones once
  std::int64_t weight_bytes = 0;  // compute dtype, and fp32 copies of vectors
  std::int64_t gradient_bytes = 0;
  std::int64_t optimizer_bytes = 0;   // this rank's share of m, v and the fp32 master
  std::int64_t activation_bytes = 0;  // the arena: activations and the operations' workspace
  std::int64_t total_bytes() const {
    return weight_bytes + gradient_bytes + optimizer_bytes + activation_bytes;
  }
  std::string ToString() const;  // one line for people
};
MemoryPlan PlanMemory(const ModelConfig& config, const TrainStateOptions& options, int world_size);

// One thread at a time: the training thread.
class TrainState {
 public:
  // Allocates what PlanMemory says. Weights are zeros until Initialize, LoadModel or
  // RestoreCheckpoint (runtime/checkpoint.h). Borrows `communicator`.
  TrainState(const ModelConfig& config, const TrainStateOptions& options,
             Communicator& communicator);
  TrainState(const TrainState&) = delete;
  TrainState& operator=(const TrainState&) = delete;

  // New weights, a function of (seed, parameter name) alone (trainer/initializer.h); optimizer
  // state zero. The same on every rank without communication.
  void Initialize(std::uint64_t seed);
  // Weights of a Hugging Face folder or of a checkpoint of ours; optimizer state zero. Throws
  // InputError naming the tensor that is missing, unknown or of another shape.
  void LoadModel(const std::filesystem::path& folder);

  const ModelConfig& config() const { return decoder_.config(); }
  const TrainStateOptions& options() const { return options_; }
  const ParameterTable& table() const { return decoder_.table(); }
  Communicator& communicator() { return communicator_; }
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
