// The parts of a training run that the loop calls (train_loop.cc): opening and resuming, the next
// batches, one step, records, evaluation on the tuning split, checkpoints, the end.
#pragma once

#include <memory>
#include <string>

#include "dataio/loader/batch_loader.h"
#include "runtime/world.h"
#include "trainer/training/train_loop.h"
#include "trainer/training/train_step.h"

namespace sequela {

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
