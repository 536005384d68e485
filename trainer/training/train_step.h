// One optimizer step on one screen: microbatches forward and backward, gradients reduced while
// backward goes on, global norm, clipping, AdamW.
#pragma once

#include <cstdint>
#include <span>

#include "dataio/loader/batch.h"
#include "trainer/training/train_state.h"

namespace sequela {

struct TrainStepInput {
  std::span<const Batch> microbatches;  // this rank's share of the global batch; may be empty
  double learning_rate = 0.0;
  std::uint64_t seed = 0;  // of the experiment
  std::int64_t step = 0;   // steps done before this one; with `seed` what dropout is a function of
};

// The same on every rank, except the timing.
struct TrainStepResult {
  double loss = 0.0;           // sum over all targets of weight * nll, divided by W
  double gradient_norm = 0.0;  // of that mean's gradient, before clipping
  double target_weight = 0.0;  // W, the sum of all target weights
  std::int64_t targets = 0;
  std::int64_t tokens = 0;
  bool skipped = false;                     // W was 0: nothing was updated
  double communication_wait_seconds = 0.0;  // this rank's waits beyond what arithmetic hid
};

// Collective. Throws MachineError on the rank that meets a loss or gradient that is not finite,
// naming parameter or row, rank, step and samples; no weight has changed then.
TrainStepResult TrainStep(TrainState& state, const TrainStepInput& input);

}  // namespace sequela
