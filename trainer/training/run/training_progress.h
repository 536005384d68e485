// What training remembers beside weights and optimizer, as every checkpoint stores it.
#pragma once

#include <cstdint>
#include <string>

#include "dataio/loader/batch_loader.h"
#include "runtime/checkpoint.h"

namespace sequela {

struct TrainingProgress {
  std::int64_t step = 0;     // steps done
  std::int64_t tokens = 0;   // read in all steps
  std::int64_t targets = 0;  // likewise
  std::int64_t skipped_steps = 0;
  double best_nll = 0.0;  // per token on the tuning split, where best_step >= 0
  std::int64_t best_step = -1;
  std::int64_t evaluations_since_best = 0;
  double last_loss = 0.0;
};

struct RestoredProgress {
  TrainingProgress progress;
  LoaderState loader;
};

// CheckpointContents::trainer_state.
std::string ProgressToJson(const TrainingProgress& progress, const LoaderState& loader,
                           const std::string& result_hash);
// Throws InputError naming the checkpoint where it was not written by training.
RestoredProgress ProgressFromJson(const FoundCheckpoint& checkpoint);

}  // namespace sequela
