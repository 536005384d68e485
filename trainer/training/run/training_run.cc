// In five phases, each under a heading below: opening, which writes nothing; beginning, which makes
// weights and folder; steps; the evaluations and checkpoints between them; and the end. The order in
// which they are called is train_loop.cc's.
#include "trainer/training/run/training_run.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "runtime/log.h"
#include "runtime/replica_check.h"
#include "trainer/evaluation/split_score.h"
#include "trainer/training/learning_rate.h"
#include "trainer/training/run/announcement.h"
#include "trainer/training/run/device_fit.h"
#include "trainer/training/run/initial_weights.h"
#include "trainer/training/run/rank_peaks.h"

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

// --- opening: everything that can be refused; nothing is written ---

TrainingRun::TrainingRun(const Experiment& experiment, const TrainOptions& options, World& world)
    : prepared_(experiment, options, world),
      progress_(prepared_.progress),
      watchdog_(experiment.checkpoint.deadline_seconds,
                [&world](const std::string& message) { AbortHanging(world, message); }) {}

void TrainingRun::Announce() {
  planned_peaks_ = PlannedPeaks(prepared_);
  sequela::Announce(prepared_, planned_peaks_);
  CheckFitsDevice(prepared_);
}

// --- beginning: weights, then the folder, the first that is written ---

void TrainingRun::Begin() {
  MakeWeights();
  OpenFolder();
  if (prepared_.evaluates) {
    tuning_ = std::make_unique<EvaluationWindows>(
        prepared_.store,
        EvaluationOptions{.split = Split::kTuning,
                          .context_length = prepared_.experiment.data.context_length,
                          .microbatch_tokens = prepared_.state_options.decoder.max_tokens,
                          .max_windows = prepared_.experiment.evaluation.max_windows});
  }
  const DecoderOptions& decoder = prepared_.state_options.decoder;
  prepared_.communicator.Barrier();
  matrix_rate_.emplace(*prepared_.device, decoder.num_threads, decoder.compute_dtype);
  first_step_ = progress_.step;
  progress_line_.emplace(progress_.step, prepared_.total_steps);
  step_watch_.Lap();
}

void TrainingRun::MakeWeights() {
  Communicator* communicator = &prepared_.communicator;
  if (!prepared_.device->is_host()) {
    tensor_communicator_ = prepared_.world.MakeTensorCommunicator(
        prepared_.device->backend(), prepared_.device->index(), prepared_.device->compute_stream());
    communicator = tensor_communicator_.get();
  }
  state_ = std::make_unique<TrainState>(prepared_.config, prepared_.state_options, *communicator,
                                        *prepared_.device);
  if (prepared_.checkpoint) {
    RestoreCheckpoint(*prepared_.checkpoint, state_->optimizer());
  } else if (prepared_.initial.model) {
    state_->LoadModel(prepared_.initial.model->weights());
    prepared_.initial.model.reset();
  } else {
    state_->Initialize(prepared_.experiment.seed);
  }
}

// From here on files are written. Every rank has read the folder's old content by now.
void TrainingRun::OpenFolder() {
  const StoredRun& run = prepared_.run;
  prepared_.communicator.Barrier();
  prepared_.OnFirstRank([&] {
    if (prepared_.stored) {
      UpdateRun(run);
    } else {
      prepared_.TakeNewFolder();
      CreateRun(run, prepared_.store.vocabulary());
    }
    const LoggingSection& logging = prepared_.experiment.logging;
    metrics_ = std::make_unique<MetricsLog>(run.folder, progress_.step, logging.tensorboard,
                                            logging.every_steps);
  });
  writer_ = std::make_unique<CheckpointWriter>(
      state_->optimizer(), prepared_.communicator,
      CheckpointOptions{.folder = run.checkpoints(),
                        .keep_last = prepared_.experiment.checkpoint.keep_last,
                        .keep_every = prepared_.experiment.checkpoint.keep_every,
                        .watchdog = &watchdog_});
}

// --- steps ---

bool TrainingRun::out_of_patience() const {
  const std::int64_t patience = prepared_.experiment.evaluation.patience;
  return patience > 0 && progress_.evaluations_since_best >= patience;
}

bool TrainingRun::done() const {
  return progress_.step >= prepared_.total_steps || out_of_patience();
}

double TrainingRun::NextLearningRate() const {
  return LearningRate(prepared_.experiment.schedule, prepared_.experiment.optimizer.learning_rate,
                      progress_.step + 1, prepared_.total_steps);
}

StepInput TrainingRun::NextBatches() {
  prepared_.communicator.SetActivity(progress_.step + 1, "training");
  return prepared_.loader->Next();
}

TrainStepResult TrainingRun::Step(const StepInput& batches) {
  const TrainStepResult result = TrainStep(*state_, {.microbatches = batches.microbatches,
                                                     .learning_rate = NextLearningRate(),
                                                     .seed = prepared_.experiment.seed,
                                                     .step = progress_.step});
  const std::int64_t check_every = prepared_.experiment.parallel.check_replicas_every_steps;
  if (check_every > 0 && (progress_.step + 1) % check_every == 0) {
    CheckReplicas(state_->buffers(), prepared_.communicator, progress_.step + 1);
  }
  return result;
}

// What a file watchdog says where writing metrics hangs.
std::string TrainingRun::MetricsWork() const {
  return fmt::format("writing {}", (prepared_.run.folder / "metrics.jsonl").string());
}

void TrainingRun::CountStep(const TrainStepResult& result) {
  ++progress_.step;
  progress_.tokens += result.tokens;
  progress_.targets += result.targets;
  progress_.skipped_steps += result.skipped ? 1 : 0;
  progress_.last_loss = result.loss;
}

void TrainingRun::Record(const TrainStepResult& result, const StepInput& batches) {
  StepMetrics m;
  m.learning_rate = NextLearningRate();  // of the step that CountStep counts
  CountStep(result);
  m.step = progress_.step;
  m.tokens = result.tokens;
  m.targets = result.targets;
  m.loss = result.loss;
  m.gradient_norm = result.gradient_norm;
  m.step_seconds = step_watch_.Lap();
  m.tokens_per_second = static_cast<double>(m.tokens) / m.step_seconds;
  m.data_wait_seconds = batches.wait_seconds;
  m.communication_wait_seconds = result.communication_wait_seconds;
  m.checkpoint_wait_seconds = writer_->TakeWaitSeconds();
  const double flops = TrainingFlops(prepared_.config, batches);
  m.model_flops_utilization =
      flops / m.step_seconds /
      prepared_.device->peak_matrix_rate(prepared_.experiment.parallel.precision);
  m.matrix_rate_share = matrix_rate_->ShareOf(flops, m.step_seconds);
  if (metrics_) {
    const FileWork work(&watchdog_, MetricsWork());
    metrics_->WriteStep(m);
  }
  progress_line_->AddStep(m.step_seconds, m.tokens, m.loss);
  if (LogProgress(progress_line_->Line(), done())) progress_line_->BeginLine();
  matrix_rate_->Refresh();
}

// --- between steps: evaluation on the tuning split, checkpoints ---

bool TrainingRun::evaluation_due() const {
  const std::int64_t step = progress_.step;
  return prepared_.evaluates &&
         (step % prepared_.experiment.evaluation.every_steps == 0 || step == prepared_.total_steps);
}

void TrainingRun::CompareWithBest(double nll_per_token) {
  best_is_new_ = std::isfinite(nll_per_token) &&
                 (progress_.best_step < 0 || nll_per_token < progress_.best_nll);
  if (best_is_new_) {
    progress_.best_nll = nll_per_token;
    progress_.best_step = progress_.step;
  }
  if (!std::isfinite(nll_per_token)) {
    LogWarning(
        "step {}: the NLL on the tuning split is no finite number; this step cannot be the best",
        progress_.step);
  }
  progress_.evaluations_since_best = best_is_new_ ? 0 : progress_.evaluations_since_best + 1;
}

void TrainingRun::EvaluateOnTuning() {
  prepared_.communicator.SetActivity(progress_.step, "evaluating");
  const SplitScore score =
      ScoreSplit(state_->decoder(), state_->buffers(), state_->communicator(), prepared_.store,
                 Split::kTuning, *tuning_, prepared_.log_weights);
  CompareWithBest(score.nll_per_token);
  progress_line_->SetTuning(score.nll_per_token);
  if (metrics_) {
    const NamedNumber results[] = {{"targets", static_cast<double>(score.targets)},
                                   {"events", static_cast<double>(score.events)},
                                   {"nll_per_token", score.nll_per_token},
                                   {"nll_per_event", score.nll_per_event},
                                   {"top1", score.top1}};
    metrics_->WriteEvaluation(progress_.step, NameOf(Split::kTuning), results);
  }
  step_watch_.Lap();
}

bool TrainingRun::checkpoint_due() const {
  const std::int64_t every = prepared_.experiment.checkpoint.every_steps;
  return best_is_new_ || (every > 0 && progress_.step % every == 0);
}

void TrainingRun::StartCheckpoint() {
  if (metrics_) {
    const FileWork work(&watchdog_, MetricsWork());
    metrics_->Sync();
  }
  writer_->Start({.step = progress_.step,
                  .best_step = progress_.best_step,
                  .trainer_state = ProgressToJson(progress_, prepared_.loader->state(),
                                                  prepared_.run.identity.result_hash),
                  .text_files = ModelTextFiles(prepared_.config,
                                               prepared_.state_options.decoder.compute_dtype)});
  best_is_new_ = false;
}

void TrainingRun::PollCheckpoint() { writer_->Poll(); }

// --- the end ---

// What each rank held at most, in bytes. Collective.
std::vector<std::int64_t> TrainingRun::ReportMemory() const {
  std::vector<std::int64_t> peaks = SeenPeaks(prepared_.communicator);
  LogInfo("peak memory of each rank: planned {}, seen {}", PeaksText(planned_peaks_),
          PeaksText(peaks));
  return peaks;
}

void TrainingRun::StopWithCheckpoint(const std::string& reason) {
  StartCheckpoint();
  writer_->Finish();
  ReportMemory();
  throw StopRequested(fmt::format(
      "stopped by {} after step {} of {}; a checkpoint is written: start the same command again to "
      "go on",
      reason, progress_.step, prepared_.total_steps));
}

void TrainingRun::WriteSummary(double seconds, const std::vector<std::int64_t>& seen_peaks) const {
  nlohmann::ordered_json json = {
      {"result_hash", prepared_.run.identity.result_hash},
      {"steps", progress_.step},
      {"planned_steps", prepared_.total_steps},
      {"stopped_early", progress_.step < prepared_.total_steps},
      {"skipped_steps", progress_.skipped_steps},
      {"tokens", progress_.tokens},
      {"targets", progress_.targets},
      {"parameters", CountParameters(prepared_.config)},
      {"final_loss", progress_.last_loss},
      {"ranks", prepared_.communicator.size()},
      {"threads_per_rank", prepared_.state_options.decoder.num_threads},
      {"seconds_of_last_start", seconds},
      {"steps_of_last_start", progress_.step - first_step_},
      {"planned_peak_memory_bytes", planned_peaks_},
      {"peak_memory_bytes", seen_peaks},
  };
  if (progress_.best_step >= 0) {
    json["best_step"] = progress_.best_step;
    json["best_tuning_nll_per_token"] = progress_.best_nll;
  }
  WriteFileAtomically(prepared_.run.folder / "summary.json", json.dump(1) + "\n");
}

void TrainingRun::End() {
  if (progress_.step == first_step_) {
    LogInfo("{} is finished already ({} steps); nothing to do", prepared_.run.folder.string(),
            progress_.step);
    return;
  }
  StartCheckpoint();
  writer_->Finish();
  const double seconds = run_watch_.Seconds();
  const std::vector<std::int64_t> peaks = ReportMemory();
  if (prepared_.is_first_rank()) WriteSummary(seconds, peaks);
  prepared_.communicator.Barrier();
  LogInfo("done: {} steps in {}{}", progress_.step, DurationText(seconds),
          progress_.best_step < 0
              ? std::string()
              : fmt::format("; best on tuning: {:.4f} nats per token at step {}",
                            progress_.best_nll, progress_.best_step));
}

}  // namespace sequela
