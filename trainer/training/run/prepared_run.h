// Everything about a training run that is known, opened and checked before anything is written.
// TrainingRun (training_run.h) trains it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "dataio/loader/batch_loader.h"
#include "dataio/store/chain_store.h"
#include "kernels/base/writer_lock.h"
#include "runtime/checkpoint.h"
#include "runtime/world.h"
#include "trainer/experiment/run_folder.h"
#include "trainer/experiment/run_weights.h"
#include "trainer/model/model_config.h"
#include "trainer/training/run/training_progress.h"
#include "trainer/training/train_options.h"
#include "trainer/training/train_state.h"

namespace sequela {

// One thread at a time.
struct PreparedRun {
  // Collective. Throws InputError where settings, store, folder or weights do not fit each other.
  PreparedRun(const Experiment& experiment_in, const TrainOptions& options_in, World& world_in);

  // Collective. The first rank works; what it refuses (InputError) every rank refuses alike.
  void OnFirstRank(const std::function<void()>& work);
  // Makes this job the one that writes the run's folder, which exists. On the first rank; throws
  // InputError where another job is writing there.
  void TakeLock();
  // Makes the folder of a run that is still to be created, where it is not there, and takes its
  // lock. The folder itself may be a link, "." or a mount. Throws InputError likewise, and where
  // another job created a run there meanwhile.
  void TakeNewFolder();
  bool is_first_rank() const { return communicator.rank() == 0; }

  Experiment experiment;
  TrainOptions options;
  World& world;
  Communicator& communicator;
  std::shared_ptr<Device> device;
  ChainStore store;
  ModelConfig config;
  TrainStateOptions state_options;
  std::vector<float> target_weights;  // empty: all 1
  std::vector<float> log_weights;     // likewise

  // The first rank's, for all ranks; none in a dry run, and none of a run that is still to be made.
  std::unique_ptr<WriterLock> lock;
  StoredRun run;
  std::optional<StoredRun> stored;            // what lay in the folder
  std::optional<FoundCheckpoint> checkpoint;  // where the run goes on
  RunWeights initial;                         // --init-from's, where the run begins with them
  TrainingProgress progress;                  // there, or at the beginning
  std::unique_ptr<BatchLoader> loader;
  std::int64_t total_steps = 0;
  bool evaluates = false;  // on the tuning split, while training

 private:
  void BalanceTargets();
  void FindResumePoint();
  void CheckStoredRun() const;
  LoaderOptions MakeLoaderOptions() const;
  void OpenLoader();
};

}  // namespace sequela
