#include "trainer/training/train_loop.h"

#include "runtime/stop_signal.h"
#include "trainer/training/run/training_run.h"

namespace sequela {

void Train(const Experiment& experiment, const TrainOptions& options, World& world) {
  const StopSignal stop(experiment.run.time_limit_minutes * 60.0,
                        options.dry_run ? OnStopSignal::kEndProcess : OnStopSignal::kNote);
  TrainingRun run(experiment, options, world);
  run.Announce();
  if (options.dry_run) return;
  run.Begin();
  while (!run.done()) {
    const StepInput batches = run.NextBatches();
    run.Record(run.Step(batches), batches);
    if (run.evaluation_due()) run.EvaluateOnTuning();
    if (run.checkpoint_due()) run.StartCheckpoint();
    run.PollCheckpoint();
    if (const std::int64_t request = stop.Agree(world.communicator()); request != 0) {
      run.StopWithCheckpoint(StopSignal::Describe(request));
    }
  }
  run.End();
}

}  // namespace sequela
