// A training run that goes on: what the loop calls (train_loop.cc), from the first weights to the
// summary. What is opened and checked before that is PreparedRun's (prepared_run.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataio/loader/batch_loader.h"
#include "dataio/loader/evaluation_windows.h"
#include "runtime/checkpoint.h"
#include "runtime/communicator.h"
#include "runtime/file_watchdog.h"
#include "runtime/step_timer.h"
#include "runtime/world.h"
#include "trainer/training/metrics.h"
#include "trainer/training/progress_line.h"
#include "trainer/training/run/matrix_rate.h"
#include "trainer/training/run/prepared_run.h"
#include "trainer/training/run/training_progress.h"
#include "trainer/training/train_options.h"
#include "trainer/training/train_state.h"
#include "trainer/training/train_step.h"

namespace sequela {

// One thread at a time. All calls are collective.
class TrainingRun {
 public:
  // Opens everything that can be refused and writes nothing. Throws InputError, as PreparedRun.
  TrainingRun(const Experiment& experiment, const TrainOptions& options, World& world);

  // Says what will be trained and the memory it takes. Throws InputError where a device has less.
  void Announce();
  // Makes or resumes the folder; first or restored weights.
  void Begin();

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
  void MakeWeights();
  void OpenFolder();
  double NextLearningRate() const;
  std::string MetricsWork() const;
  bool out_of_patience() const;
  void CountStep(const TrainStepResult& result);
  void CompareWithBest(double nll_per_token);
  std::vector<std::int64_t> ReportMemory() const;
  void WriteSummary(double seconds, const std::vector<std::int64_t>& seen_peaks) const;

  PreparedRun prepared_;
  TrainingProgress progress_;
  std::vector<std::int64_t> planned_peaks_;  // bytes by rank

  FileWatchdog watchdog_;
  std::unique_ptr<Communicator> tensor_communicator_;  // of a GPU's memory
  std::unique_ptr<TrainState> state_;
  std::unique_ptr<EvaluationWindows> tuning_;
  std::unique_ptr<CheckpointWriter> writer_;
  std::unique_ptr<MetricsLog> metrics_;  // on the first rank
  std::optional<ProgressLine> progress_line_;
  std::optional<MatrixRate> matrix_rate_;
  std::int64_t first_step_ = 0;
  Stopwatch run_watch_, step_watch_;
  bool best_is_new_ = false;
};

}  // namespace sequela
