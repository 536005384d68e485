// The parts of a training run that the loop calls (train_loop.cc): opening and resuming, the next
// batches, one step, records, evaluation on the tuning split, checkpoints, the end.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataio/batch_loader.h"
#include "dataio/chain_store.h"
#include "runtime/checkpoint.h"
#include "runtime/step_timer.h"
#include "runtime/world.h"
#include "trainer/metrics.h"
#include "trainer/progress.h"
#include "trainer/run_folder.h"
#include "trainer/train_loop.h"
#include "trainer/train_step.h"

namespace sequela {

// What training remembers beside weights and optimizer; stored in every checkpoint.
struct TrainingProgress {
  std::int64_t step = 0;     // steps done
  std::int64_t tokens = 0;   // read in all steps
  std::int64_t targets = 0;  // likewise
  std::int64_t skipped_steps = 0;
  double best_nll = 0.0;  // per token on the tuning split, where best_step >= 0
  std::int64_t best_step = -1;
  std::int64_t evaluations_since_best = 0;
  std::int64_t last_evaluated_step = -1;
  double last_loss = 0.0;
};

// One thread at a time. All calls are collective.
class TrainingRun {
 public:
  // Opens everything that can be refused and writes nothing.
  TrainingRun(const Experiment& experiment, const TrainOptions& options, World& world);
  ~TrainingRun();

  void Announce();  // what will be trained, and the memory it takes
  void Begin();     // makes or resumes the folder; first or restored weights

  bool done() const;
  StepInput NextBatches();
  TrainStepResult Step(const StepInput& batches);
  void Record(const TrainStepResult& result, const StepInput& batches);

  bool evaluation_due() const;
  void EvaluateOnTuning();
  bool checkpoint_due() const;
  void StartCheckpoint();
  void PollCheckpoint();
  [[noreturn]] void StopWithCheckpoint(const std::string& reason);
  void End();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sequela
