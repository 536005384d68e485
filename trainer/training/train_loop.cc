#include "trainer/training/train_loop.h"

#include "runtime/stop_signal.h"
#include "trainer/training/training_run.h"

namespace sequela {

void Train(const Experiment& experiment, const TrainOptions& options, World& world) {
  const StopSignal stop(experiment.run.time_limit_minutes * 60.0);
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
    if (const std::int64_t wish = stop.Agree(world.communicator()); wish != 0) {
      run.StopWithCheckpoint(StopSignal::Describe(wish));
    }
  }
  run.End();
}

}  // namespace sequela
