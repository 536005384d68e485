// Everything that training changes, in flat buffers, with the decoder that reads them: weights,
// gradients, optimizer state. One per rank.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "runtime/communicator.h"
#include "trainer/decoder.h"

namespace sequela {

struct OptimizerOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;        // of parameters of two or more dimensions
  double clip_gradient_norm = 1.0;  // 0: never clip
};

struct TrainStateOptions {
  DecoderOptions decoder;
  OptimizerOptions optimizer;
  int zero_stage = 1;  // 0 or 1
};

// Bytes that training will hold, known before anything is allocated.
struct MemoryPlan {
  std::int64_t parameters = 0;  // elements
  std::int64_t weight_bytes = 0;
  std::int64_t gradient_bytes = 0;
  std::int64_t optimizer_bytes = 0;  // this rank's share
  std::int64_t activation_bytes = 0;
  std::int64_t total_bytes() const {
    return weight_bytes + gradient_bytes + optimizer_bytes + activation_bytes;
  }
  std::string ToString() const;  // one line for people
};
MemoryPlan PlanMemory(const ModelConfig& config, const TrainStateOptions& options, int world_size);

// One thread at a time.
class TrainState {
 public:
  // Allocates. Weights are undefined until Initialize, LoadModel or Restore.
  TrainState(const ModelConfig& config, const TrainStateOptions& options,
             Communicator& communicator);
  ~TrainState();
  TrainState(const TrainState&) = delete;
  TrainState& operator=(const TrainState&) = delete;

  // Random weights, a function of (seed, parameter name) alone; optimizer state zero.
  void Initialize(std::uint64_t seed);
  // Weights of a Hugging Face folder or a checkpoint (trainer/hf_model.h); optimizer state zero.
  // Throws InputError naming the tensor that is missing, unknown or of another shape.
  void LoadModel(const std::filesystem::path& folder);

  Decoder& decoder();
  DecoderWeights weights() const;
  Communicator& communicator();
  const ModelConfig& config() const;
  const TrainStateOptions& options() const;
  const MemoryPlan& memory_plan() const;
  std::int64_t optimizer_steps() const;  // updates done (skipped steps do not count)

 private:
  friend class TrainStepRunner;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sequela
