#include "trainer/training/training_run.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "dataio/loader/evaluation_windows.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "runtime/checkpoint.h"
#include "runtime/file_watchdog.h"
#include "runtime/log.h"
#include "runtime/replica_check.h"
#include "runtime/step_timer.h"
#include "trainer/evaluation/split_score.h"
#include "trainer/training/learning_rate.h"
#include "trainer/training/metrics.h"
#include "trainer/training/progress.h"
#include "trainer/training/run/announcement.h"
#include "trainer/training/run/device_memory.h"
#include "trainer/training/run/initial_weights.h"
#include "trainer/training/run/matrix_rate.h"
#include "trainer/training/run/peak_memory.h"
#include "trainer/training/run/run_setup.h"

namespace sequela {
namespace {

// The thread that hangs cannot throw: the job ends here, with the code of a failed machine.
[[noreturn]] void AbortHanging(World& world, const std::string& message) {
  constexpr int kMachineFailed = 4;
  const std::string rank = world.Name();
  world.Abort(kMachineFailed, fmt::format("sequela: {}{}{}; the last whole checkpoint stands "
                                          "(checkpoint.deadline_seconds)",
                                          rank, rank.empty() ? "" : ": ", message));
}

}  // namespace

struct TrainingRun::Impl {
  Impl(const Experiment& experiment, const TrainOptions& options, World& world)
      : setup(experiment, options, world),
        progress(setup.progress),
        watchdog(experiment.checkpoint.deadline_seconds,
                 [&world](const std::string& message) { AbortHanging(world, message); }) {}

  void MakeWeights();
  void OpenFolder();
  double NextLearningRate() const {
    return LearningRate(setup.experiment.schedule, setup.experiment.optimizer.learning_rate,
                        progress.step + 1, setup.total_steps);
  }
  std::string MetricsWork() const {
    return fmt::format("writing {}", (setup.run.folder / "metrics.jsonl").string());
  }
  bool out_of_patience() const {
    const std::int64_t patience = setup.experiment.evaluation.patience;
    return patience > 0 && progress.evaluations_since_best >= patience;
  }
  std::vector<std::int64_t> ReportMemory() const;
  void WriteSummary(double seconds, const std::vector<std::int64_t>& seen_peaks) const;

  RunSetup setup;
  TrainingProgress progress;
  std::vector<std::int64_t> planned_peaks;  // bytes by rank

  FileWatchdog watchdog;
  std::unique_ptr<Communicator> tensor_communicator;  // of a GPU's memory
  std::unique_ptr<TrainState> state;
  std::unique_ptr<EvaluationWindows> tuning;
  std::unique_ptr<CheckpointWriter> writer;
  std::unique_ptr<MetricsLog> metrics;  // on the first rank
  std::optional<Progress> shown;
  std::optional<MatrixRate> matrix_rate;
  std::int64_t first_step = 0;
  Stopwatch run_watch, step_watch;
  bool best_is_new = false;
};

TrainingRun::TrainingRun(const Experiment& experiment, const TrainOptions& options, World& world)
    : impl_(std::make_unique<Impl>(experiment, options, world)) {}

TrainingRun::~TrainingRun() = default;

void TrainingRun::Announce() {
  impl_->planned_peaks = PlannedPeaks(impl_->setup);
  sequela::Announce(impl_->setup, impl_->planned_peaks);
  CheckDeviceMemory(impl_->setup);
}

void TrainingRun::Begin() {
  Impl& my = *impl_;
  const RunSetup& setup = my.setup;
  my.MakeWeights();
  my.OpenFolder();
  if (setup.evaluates) {
    my.tuning = std::make_unique<EvaluationWindows>(
        setup.store, EvaluationOptions{.split = Split::kTuning,
                                       .context_length = setup.experiment.data.context_length,
                                       .microbatch_tokens = setup.state_options.decoder.max_tokens,
                                       .max_windows = setup.experiment.evaluation.max_windows});
  }
  const DecoderOptions& decoder = setup.state_options.decoder;
  setup.communicator.Barrier();
  my.matrix_rate.emplace(*setup.device, decoder.num_threads, decoder.compute_dtype);
  my.first_step = my.progress.step;
  my.shown.emplace(my.progress.step, setup.total_steps);
  my.step_watch.Lap();
}

void TrainingRun::Impl::MakeWeights() {
  Communicator* communicator = &setup.communicator;
  if (!setup.device->is_host()) {
    tensor_communicator = setup.world.MakeTensorCommunicator(
        setup.device->backend(), setup.device->index(), setup.device->compute_stream());
    communicator = tensor_communicator.get();
  }
  state =
      std::make_unique<TrainState>(setup.config, setup.state_options, *communicator, *setup.device);
  if (setup.checkpoint) {
    RestoreCheckpoint(*setup.checkpoint, state->optimizer());
  } else if (setup.initial.model) {
    state->LoadModel(setup.initial.model->weights());
    setup.initial.model.reset();
  } else {
    state->Initialize(setup.experiment.seed);
  }
}

// From here on files are written. Every rank has read the folder's old content by now.
void TrainingRun::Impl::OpenFolder() {
  const StoredRun& run = setup.run;
  setup.communicator.Barrier();
  setup.OnFirstRank([&] {
    if (setup.stored) {
      UpdateRun(run);
    } else {
      setup.TakeNewFolder();
      CreateRun(run, setup.store.vocabulary());
    }
    const LoggingSection& logging = setup.experiment.logging;
    metrics = std::make_unique<MetricsLog>(run.folder, progress.step, logging.tensorboard,
                                           logging.every_steps);
  });
  writer = std::make_unique<CheckpointWriter>(
      state->optimizer(), setup.communicator,
      CheckpointOptions{.folder = run.checkpoints(),
                        .keep_last = setup.experiment.checkpoint.keep_last,
                        .keep_every = setup.experiment.checkpoint.keep_every,
                        .watchdog = &watchdog});
}

bool TrainingRun::done() const {
  return impl_->progress.step >= impl_->setup.total_steps || impl_->out_of_patience();
}

StepInput TrainingRun::NextBatches() {
  impl_->setup.communicator.SetActivity(impl_->progress.step + 1, "training");
  return impl_->setup.loader->Next();
}

TrainStepResult TrainingRun::Step(const StepInput& batches) {
  Impl& my = *impl_;
  const TrainStepResult result = TrainStep(*my.state, {.microbatches = batches.microbatches,
                                                       .learning_rate = my.NextLearningRate(),
                                                       .seed = my.setup.experiment.seed,
                                                       .step = my.progress.step});
  const std::int64_t check_every = my.setup.experiment.parallel.check_replicas_every_steps;
  if (check_every > 0 && (my.progress.step + 1) % check_every == 0) {
    CheckReplicas(my.state->buffers(), my.setup.communicator, my.progress.step + 1);
  }
  return result;
}

void TrainingRun::Record(const TrainStepResult& result, const StepInput& batches) {
  Impl& my = *impl_;
  TrainingProgress& p = my.progress;
  StepMetrics m;
  m.learning_rate = my.NextLearningRate();
  ++p.step;
  p.tokens += result.tokens;
  p.targets += result.targets;
  p.skipped_steps += result.skipped ? 1 : 0;
  p.last_loss = result.loss;
  m.step = p.step;
  m.tokens = result.tokens;
  m.targets = result.targets;
  m.loss = result.loss;
  m.gradient_norm = result.gradient_norm;
  m.step_seconds = my.step_watch.Lap();
  m.tokens_per_second = static_cast<double>(m.tokens) / m.step_seconds;
  m.data_wait_seconds = batches.wait_seconds;
  m.communication_wait_seconds = result.communication_wait_seconds;
  m.checkpoint_wait_seconds = my.writer->TakeWaitSeconds();
  const double flops = TrainingFlops(my.setup.config, batches);
  m.model_flops_utilization =
      flops / m.step_seconds /
      my.setup.device->peak_matrix_rate(my.setup.experiment.parallel.precision);
  m.matrix_rate_share = my.matrix_rate->ShareOf(flops, m.step_seconds);
  if (my.metrics) {
    const FileWork work(&my.watchdog, my.MetricsWork());
    my.metrics->WriteStep(m);
  }
  my.shown->AddStep(m.step_seconds, m.tokens, m.loss);
  if (LogProgress(my.shown->Line(), done())) my.shown->BeginLine();
  my.matrix_rate->Refresh();
}

bool TrainingRun::evaluation_due() const {
  const std::int64_t step = impl_->progress.step;
  const RunSetup& setup = impl_->setup;
  return setup.evaluates &&
         (step % setup.experiment.evaluation.every_steps == 0 || step == setup.total_steps);
}

void TrainingRun::EvaluateOnTuning() {
  Impl& my = *impl_;
  my.setup.communicator.SetActivity(my.progress.step, "evaluating");
  const SplitScore score =
      ScoreSplit(my.state->decoder(), my.state->buffers(), my.state->communicator(), my.setup.store,
                 Split::kTuning, *my.tuning, my.setup.log_weights);
  TrainingProgress& p = my.progress;
  my.best_is_new =
      std::isfinite(score.nll_per_token) && (p.best_step < 0 || score.nll_per_token < p.best_nll);
  if (my.best_is_new) {
    p.best_nll = score.nll_per_token;
    p.best_step = p.step;
  }
  if (!std::isfinite(score.nll_per_token)) {
    LogWarning(
        "step {}: the NLL on the tuning split is no finite number; this step cannot be the best",
        p.step);
  }
  p.evaluations_since_best = my.best_is_new ? 0 : p.evaluations_since_best + 1;
  my.shown->SetTuning(score.nll_per_token);
  if (my.metrics) {
    const NamedNumber results[] = {{"targets", static_cast<double>(score.targets)},
                                   {"events", static_cast<double>(score.events)},
                                   {"nll_per_token", score.nll_per_token},
                                   {"nll_per_event", score.nll_per_event},
                                   {"top1", score.top1}};
    my.metrics->WriteEvaluation(p.step, NameOf(Split::kTuning), results);
  }
  my.step_watch.Lap();
}

bool TrainingRun::checkpoint_due() const {
  const std::int64_t every = impl_->setup.experiment.checkpoint.every_steps;
  return impl_->best_is_new || (every > 0 && impl_->progress.step % every == 0);
}

void TrainingRun::StartCheckpoint() {
  Impl& my = *impl_;
  if (my.metrics) {
    const FileWork work(&my.watchdog, my.MetricsWork());
    my.metrics->Sync();
  }
  my.writer->Start({.step = my.progress.step,
                    .best_step = my.progress.best_step,
                    .trainer_state = ProgressToJson(my.progress, my.setup.loader->state(),
                                                    my.setup.run.identity.result_hash),
                    .text_files = ModelTextFiles(my.setup.config,
                                                 my.setup.state_options.decoder.compute_dtype)});
  my.best_is_new = false;
}

void TrainingRun::PollCheckpoint() { impl_->writer->Poll(); }

void TrainingRun::StopWithCheckpoint(const std::string& reason) {
  StartCheckpoint();
  impl_->writer->Finish();
  impl_->ReportMemory();
  throw StopRequested(fmt::format(
      "stopped by {} after step {} of {}; a checkpoint is written: start the same command again to "
      "go on",
      reason, impl_->progress.step, impl_->setup.total_steps));
}

// What each rank held at most, in bytes. Collective.
std::vector<std::int64_t> TrainingRun::Impl::ReportMemory() const {
  std::vector<std::int64_t> peaks = SeenPeaks(setup.communicator);
  LogInfo("peak memory of each rank: planned {}, seen {}", PeaksText(planned_peaks),
          PeaksText(peaks));
  return peaks;
}

void TrainingRun::Impl::WriteSummary(double seconds,
                                     const std::vector<std::int64_t>& seen_peaks) const {
  nlohmann::ordered_json json = {
      {"result_hash", setup.run.identity.result_hash},
      {"steps", progress.step},
      {"planned_steps", setup.total_steps},
      {"stopped_early", progress.step < setup.total_steps},
      {"skipped_steps", progress.skipped_steps},
      {"tokens", progress.tokens},
      {"targets", progress.targets},
      {"parameters", CountParameters(setup.config)},
      {"final_loss", progress.last_loss},
      {"ranks", setup.communicator.size()},
      {"threads_per_rank", setup.state_options.decoder.num_threads},
      {"seconds_of_last_start", seconds},
      {"steps_of_last_start", progress.step - first_step},
      {"planned_peak_memory_bytes", planned_peaks},
      {"peak_memory_bytes", seen_peaks},
  };
  if (progress.best_step >= 0) {
    json["best_step"] = progress.best_step;
    json["best_tuning_nll_per_token"] = progress.best_nll;
  }
  WriteFileAtomically(setup.run.folder / "summary.json", json.dump(1) + "\n");
}

void TrainingRun::End() {
  Impl& my = *impl_;
  if (my.progress.step == my.first_step) {
    LogInfo("{} is finished already ({} steps); nothing to do", my.setup.run.folder.string(),
            my.progress.step);
    return;
  }
  StartCheckpoint();
  my.writer->Finish();
  const double seconds = my.run_watch.Seconds();
  const std::vector<std::int64_t> peaks = my.ReportMemory();
  if (my.setup.is_first_rank()) my.WriteSummary(seconds, peaks);
  my.setup.communicator.Barrier();
  LogInfo("done: {} steps in {}{}", my.progress.step, DurationText(seconds),
          my.progress.best_step < 0
              ? std::string()
              : fmt::format("; best on tuning: {:.4f} nats per token at step {}",
                            my.progress.best_nll, my.progress.best_step));
}

}  // namespace sequela
