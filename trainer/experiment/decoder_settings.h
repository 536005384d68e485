// From an experiment to the parts of a run: settings of the model and options of its decoder.
#pragma once

#include <cstdint>
#include <string>

#include "dataio/store/vocabulary.h"
#include "runtime/world.h"
#include "trainer/experiment/experiment.h"
#include "trainer/model/decoder.h"
#include "trainer/model/model_config.h"

namespace sequela {

// Throws InputError for settings that no model can have.
ModelConfig ModelConfigOf(const Experiment& experiment, std::int32_t vocabulary_size);

// Threads of this rank: parallel.threads, else OMP_NUM_THREADS, else the machine's cores shared by
// its ranks.
int ThreadsOf(const Experiment& experiment, const World& world);

// Most tokens of one forward and backward of a rank.
std::int64_t MicrobatchTokensOf(const Experiment& experiment, int world_size);

DecoderOptions DecoderOptionsOf(const Experiment& experiment, const World& world);

}  // namespace sequela
