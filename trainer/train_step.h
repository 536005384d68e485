// One optimizer step on one screen: microbatches forward and backward, gradients reduced while
// backward goes on, global norm, clipping, AdamW.
#pragma once

#include <cstdint>
#include <span>

#include "dataio/batch.h"
#include "trainer/train_state.h"

namespace sequela {

struct TrainStepInput {
  std::span<const Batch> microbatches;  // this rank's share of the global batch; may be empty
  double learning_rate = 0.0;
  std::uint64_t seed = 0;  // of the experiment
  std::int64_t step = 0;   // 0-based; with `seed` the source of dropout
};

// Identical on every rank, except the timings.
struct TrainStepResult {
  double loss = 0.0;                        // mean over the global weight: sum(weight * nll) / W
  double gradient_norm = 0.0;               // of the mean's gradient, before clipping
  double target_weight = 0.0;               // W, the global sum of target weights
  std::int64_t targets = 0;                 // global number of targets
  std::int64_t tokens = 0;                  // global number of tokens
  bool skipped = false;                     // W == 0: nothing was updated
  double communication_wait_seconds = 0.0;  // this rank's, beyond what computing hid
};

// Collective. Throws MachineError where the loss or a gradient is not finite, on every rank, naming
// the parameter, the rank and the samples at fault; the weights are then unchanged.
TrainStepResult TrainStep(TrainState& state, const TrainStepInput& input);

}  // namespace sequela
