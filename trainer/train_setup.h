// From an experiment to the parts of a run: model settings, options of the training state, and what
// is said before the first step.
#pragma once

#include <cstdint>
#include <string>

#include "dataio/vocabulary.h"
#include "kernels/exec.h"
#include "runtime/world.h"
#include "trainer/experiment.h"
#include "trainer/model_config.h"
#include "trainer/train_state.h"

namespace sequela {

// Throws InputError for settings that no model can have.
ModelConfig ModelConfigOf(const Experiment& experiment, std::int32_t vocabulary_size);

// Threads of this rank: parallel.threads, else OMP_NUM_THREADS, else the machine's cores shared by
// its ranks.
int ThreadsOf(const Experiment& experiment, const World& world);

// Most tokens of one forward and backward of a rank.
std::int64_t MicrobatchTokensOf(const Experiment& experiment, int world_size);

// Throws InputError where the experiment asks for a device that this build does not have.
TrainStateOptions TrainStateOptionsOf(const Experiment& experiment, const World& world);

// Bytes of memory that this process holds now (Linux; 0 where it cannot be known).
std::int64_t ResidentBytes();

// Useful floating-point operations of forward and backward: 6 N a token, N the weights in matrix
// products, and 12 L d for every pair of a token and one that it sees, itself included (L layers,
// d = heads x head_dim).
double TrainingFlops(const ModelConfig& config, double tokens, double attended_pairs);

// This rank's own rate of matrix products, in FLOP/s, for model_flops_utilization: the best of a
// few short ones (about 50 ms).
double MeasureMatrixRate(const Exec& exec, DType dtype);

}  // namespace sequela
