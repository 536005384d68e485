// From an experiment to the parts of a run: model settings and options of the training state.
#pragma once

#include <cstdint>
#include <string>

#include "dataio/store/vocabulary.h"
#include "runtime/world.h"
#include "trainer/experiment/experiment.h"
#include "trainer/model/model_config.h"
#include "trainer/training/train_state.h"

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

}  // namespace sequela
