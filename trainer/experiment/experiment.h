// An experiment: everything that a training run is told, as plain structs with every default. Names
// are those of the YAML file (docs/experiment-fields.md). experiment_fields.h holds the table from
// which reading, printing, documentation, hashing and comparison are derived; a field that is not
// in that table does not exist for users (a test compares the two).
#pragma once

#include <cstdint>
#include <string>

#include "kernels/base/dtype.h"
#include "trainer/model/activations.h"
#include "trainer/model/model_config.h"

namespace sequela {

// Values are listed in the order of the names in experiment_fields.cc.
enum class DecayKind : std::uint8_t { kCosine, kLinear, kConstant };
enum class DeviceChoice : std::uint8_t { kAuto, kCpu, kCuda };

struct DataSection {
  std::string store;
  std::int64_t context_length = 512;
  std::int64_t context_overlap = 0;
  std::int64_t global_batch_tokens = 8192;
  bool shuffle = true;
};

// The model's settings as an experiment begins with them. head_dim 0: hidden_size /
// num_attention_heads. What the store and the other sections decide (vocab_size, model_type,
// max_position_embeddings) is filled in by ModelConfigOf (train_setup.h).
ModelConfig DefaultModel();

struct ObjectiveSection {
  double event_balance_alpha = 1.0;
};

struct OptimizerSection {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  double clip_gradient_norm = 1.0;
};

struct ScheduleSection {
  std::int64_t steps = 0;  // 0: as many as `epochs` needs
  double epochs = 1.0;     // read where steps is 0
  std::int64_t warmup_steps = 100;
  DecayKind decay = DecayKind::kCosine;
  double final_learning_rate_fraction = 0.1;
  std::int64_t cooldown_steps = 0;  // decay: constant only
};

struct ParallelSection {
  DeviceChoice device = DeviceChoice::kAuto;
  DType precision = DType::kFloat32;  // kFloat32 or kBFloat16
  std::int64_t threads = 0;           // 0: the machine's cores shared by its ranks
  std::int64_t zero_stage = 1;
  std::int64_t microbatch_tokens = 0;  // 0: one micro-batch per rank and step, at most 8192 tokens
  Recompute recompute = Recompute::kNone;
  std::int64_t check_replicas_every_steps = 0;  // 0: never
};

struct CheckpointSection {
  std::int64_t every_steps = 500;
  std::int64_t keep_last = 2;
  std::int64_t keep_every = 0;
  double deadline_seconds = 600.0;  // 0: none
};

struct EvaluationSection {
  std::int64_t every_steps = 200;
  std::int64_t max_windows = 0;
  std::int64_t patience = 0;
};

struct LoggingSection {
  std::int64_t every_steps = 1;
  bool tensorboard = true;
};

struct RunSection {
  std::string folder;
  double time_limit_minutes = 0.0;
};

struct Experiment {
  std::uint64_t seed = 1;
  DataSection data;
  ModelConfig model = DefaultModel();
  ObjectiveSection objective;
  OptimizerSection optimizer;
  ScheduleSection schedule;
  ParallelSection parallel;
  CheckpointSection checkpoint;
  EvaluationSection evaluation;
  LoggingSection logging;
  RunSection run;
};

// Refuses combinations of valid fields that make no sense together. Throws InputError naming the
// fields.
void CheckExperiment(const Experiment& experiment);

}  // namespace sequela
