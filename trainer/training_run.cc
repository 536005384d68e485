#include "trainer/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "dataio/event_balance.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"
#include "kernels/gemm.h"
#include "runtime/log.h"
#include "trainer/experiment_fields.h"
#include "trainer/hf_model.h"
#include "trainer/learning_rate.h"
#include "trainer/split_score.h"
#include "trainer/train_setup.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

struct RestoredProgress {
  TrainingProgress progress;
  LoaderState loader;
};

std::string ProgressToJson(const TrainingProgress& progress, const LoaderState& loader,
                           const std::string& result_hash) {
  const nlohmann::ordered_json json = {
      {"result_hash", result_hash},
      {"loader_row", loader.row},
      {"step", progress.step},
      {"tokens", progress.tokens},
      {"targets", progress.targets},
      {"skipped_steps", progress.skipped_steps},
      {"best_nll", progress.best_nll},
      {"best_step", progress.best_step},
      {"evaluations_since_best", progress.evaluations_since_best},
      {"last_evaluated_step", progress.last_evaluated_step},
      {"last_loss", progress.last_loss},
  };
  return json.dump();
}

RestoredProgress ProgressFromJson(const FoundCheckpoint& checkpoint) {
  try {
    const auto json = nlohmann::json::parse(checkpoint.trainer_state);
    RestoredProgress restored;
    restored.loader.row = json.at("loader_row");
    TrainingProgress& p = restored.progress;
    p.step = json.at("step");
    p.tokens = json.at("tokens");
    p.targets = json.at("targets");
    p.skipped_steps = json.at("skipped_steps");
    p.best_nll = json.at("best_nll");
    p.best_step = json.at("best_step");
    p.evaluations_since_best = json.at("evaluations_since_best");
    p.last_evaluated_step = json.at("last_evaluated_step");
    p.last_loss = json.at("last_loss");
    return restored;
  } catch (const nlohmann::json::exception& error) {
    throw InputError("{}: this checkpoint's state is not one of sequela train: {}",
                     checkpoint.folder.string(), error.what());
  }
}

const std::string& RequireStore(const Experiment& experiment) {
  if (experiment.data.store.empty()) {
    throw InputError(
        "data.store is not set: name the folder that `sequela ingest` wrote, in the experiment or "
        "as data.store=FOLDER");
  }
  return experiment.data.store;
}

fs::path RequireRunFolder(const Experiment& experiment) {
  if (experiment.run.folder.empty()) {
    throw InputError(
        "run.folder is not set: name a folder for this run, in the experiment or as "
        "run.folder=FOLDER");
  }
  return experiment.run.folder;
}

// The folder of weights that --init-from means: of a run, its best checkpoint.
fs::path WeightsFolderOf(const fs::path& init_from) {
  if (!fs::exists(init_from)) {
    throw InputError("--init-from {}: there is nothing here", init_from.string());
  }
  if (!fs::exists(init_from / "experiment.yaml")) return init_from;
  const StoredRun run = OpenRun(init_from);
  const auto newest = FindCheckpoint(run.checkpoints());
  if (!newest) throw InputError("--init-from {}: this run has no checkpoint", init_from.string());
  if (newest->best_step < 0) return newest->folder;
  return run.checkpoints() / CheckpointName(newest->best_step);
}

// Refuses weights of another architecture by the first setting that differs.
void CheckSameArchitecture(const fs::path& folder, ModelConfig wanted) {
  ModelConfig found = LoadModelConfig(folder);
  found.max_position_embeddings = wanted.max_position_embeddings;
  found.dropout = wanted.dropout;
  found.attention_dropout = wanted.attention_dropout;
  if (found == wanted) return;
  std::istringstream found_lines(ModelConfigToJson(found, DType::kFloat32));
  std::istringstream wanted_lines(ModelConfigToJson(wanted, DType::kFloat32));
  std::string found_line, wanted_line;
  while (std::getline(found_lines, found_line) && std::getline(wanted_lines, wanted_line) &&
         found_line == wanted_line) {
  }
  throw InputError("{}: its config.json says\n{}\nand this experiment asks for\n{}",
                   folder.string(), found_line, wanted_line);
}

std::vector<float> LogarithmsOf(std::vector<float> weights) {
  for (float& weight : weights) weight = std::log(weight);
  return weights;
}

// Pairs of a token and one that it sees, itself included, of a batch's documents.
double AttendedPairs(const Batch& batch) {
  double pairs = 0.0;
  for (std::size_t d = 0; d + 1 < batch.document_begin.size(); ++d) {
    const double length = batch.document_begin[d + 1] - batch.document_begin[d];
    pairs += 0.5 * length * (length + 1.0);
  }
  return pairs;
}

}  // namespace

struct TrainingRun::Impl {
  Impl(const Experiment& experiment_in, const TrainOptions& options_in, World& world_in)
      : experiment(experiment_in),
        options(options_in),
        world(world_in),
        communicator(world_in.communicator()),
        store(ChainStore::Open(RequireStore(experiment))),
        config(ModelConfigOf(experiment, store.vocabulary().size())),
        state_options(TrainStateOptionsOf(experiment, world)) {}

  void FindResumePoint();
  void CheckStoredRun() const;
  void OpenLoader();
  void DescribeRun();
  void OpenFolder();
  LoaderOptions MakeLoaderOptions() const;
  bool is_first_rank() const { return communicator.rank() == 0; }
  bool out_of_patience() const {
    return experiment.evaluation.patience > 0 &&
           progress.evaluations_since_best >= experiment.evaluation.patience;
  }
  void WriteSummary(double seconds) const;

  Experiment experiment;
  TrainOptions options;
  World& world;
  Communicator& communicator;
  ChainStore store;
  ModelConfig config;
  TrainStateOptions state_options;
  std::vector<float> target_weights;  // empty: all 1
  std::vector<float> log_weights;     // likewise

  StoredRun run;
  std::optional<StoredRun> stored;  // what lay in the folder
  std::optional<FoundCheckpoint> checkpoint;
  TrainingProgress progress;
  std::unique_ptr<BatchLoader> loader;
  std::int64_t total_steps = 0;
  bool evaluates = false;

  std::unique_ptr<TrainState> state;
  std::unique_ptr<EvaluationWindows> tuning;
  std::unique_ptr<CheckpointWriter> writer;
  std::unique_ptr<MetricsLog> metrics;  // on the first rank
  std::optional<Progress> shown;
  double matrix_rate = 0.0;
  std::int64_t first_step = 0;
  Stopwatch run_watch, step_watch;
  bool best_is_new = false;
};

void TrainingRun::Impl::FindResumePoint() {
  run.folder = RequireRunFolder(experiment);
  run.experiment = experiment;
  stored = FindRun(run.folder);
  if (stored) {
    CheckStoredRun();
    checkpoint = FindCheckpoint(run.checkpoints(), communicator);
    if (checkpoint) progress = ProgressFromJson(*checkpoint).progress;
    CheckResumable(stored->experiment, experiment, progress.step);
  }
  run.identity = {store.content_hash(), store.vocabulary().hash(),
                  ResultHash(experiment, store.content_hash()),
                  stored ? stored->identity.init_from : options.init_from.string(), target_weights};
}

void TrainingRun::Impl::CheckStoredRun() const {
  CheckSameVocabulary(*stored, store);
  if (stored->identity.store_content_hash == store.content_hash()) return;
  throw InputError(
      "{}: this run was started with another content of data.store (hash {}; {} now has {}).\n"
      "The data changes results, so the run cannot go on. Use the same store, or another "
      "run.folder "
      "(train --init-from {} starts a new run from this one's weights)",
      run.folder.string(), stored->identity.store_content_hash, store.folder().string(),
      store.content_hash(), run.folder.string());
}

LoaderOptions TrainingRun::Impl::MakeLoaderOptions() const {
  LoaderOptions loader_options;
  loader_options.context_length = experiment.data.context_length;
  loader_options.context_overlap = experiment.data.context_overlap;
  loader_options.global_batch_tokens = experiment.data.global_batch_tokens;
  loader_options.seed = experiment.seed;
  loader_options.shuffle = experiment.data.shuffle;
  loader_options.token_weight = target_weights;
  loader_options.microbatch_tokens = state_options.decoder.max_tokens;
  loader_options.rank = communicator.rank();
  loader_options.num_ranks = communicator.size();
  loader_options.quadratic_length = 6.0 * config.hidden_size;
  return loader_options;
}

void TrainingRun::Impl::OpenLoader() {
  const LoaderState start = checkpoint ? ProgressFromJson(*checkpoint).loader : LoaderState{};
  loader = std::make_unique<BatchLoader>(store, MakeLoaderOptions(), start);
  total_steps = experiment.schedule.steps > 0 ? experiment.schedule.steps
                                              : loader->StepsForEpochs(experiment.schedule.epochs);
  const std::int64_t ramps = experiment.schedule.warmup_steps + experiment.schedule.cooldown_steps;
  if (ramps > total_steps) {
    throw InputError(
        "schedule.warmup_steps and cooldown_steps ({} together) are more than the {} steps that {} "
        "epochs of this store have: lower them or raise schedule.epochs",
        ramps, total_steps, experiment.schedule.epochs);
  }
  evaluates = experiment.evaluation.every_steps > 0 && SplitHasTargets(store, Split::kTuning);
  if (!evaluates && experiment.evaluation.patience > 0) {
    throw InputError(
        "evaluation.patience is set, but {} has no tuning split to evaluate on: set it to 0",
        store.folder().string());
  }
}

TrainingRun::TrainingRun(const Experiment& experiment, const TrainOptions& options, World& world)
    : impl_(std::make_unique<Impl>(experiment, options, world)) {
  if (experiment.objective.event_balance_alpha != 1.0) {
    impl_->target_weights =
        BalanceWeights(impl_->store.vocabulary(), experiment.objective.event_balance_alpha);
    impl_->log_weights = LogarithmsOf(impl_->target_weights);
  }
  impl_->FindResumePoint();
  if (!impl_->checkpoint && !options.init_from.empty()) {
    CheckSameArchitecture(WeightsFolderOf(options.init_from), impl_->config);
  }
  impl_->OpenLoader();
}

TrainingRun::~TrainingRun() = default;

void TrainingRun::Announce() { impl_->DescribeRun(); }

void TrainingRun::Impl::DescribeRun() {
  const DecoderOptions& decoder = state_options.decoder;
  const bool is_bf16 = decoder.compute_dtype == DType::kBFloat16;
  LogInfo("sequela {}, result hash {}", SEQUELA_VERSION, run.identity.result_hash);
  LogInfo("device cpu, {} rank{} x {} thread{}, {}, ZeRO {}", communicator.size(),
          communicator.size() == 1 ? "" : "s", decoder.num_threads,
          decoder.num_threads == 1 ? "" : "s", is_bf16 ? "bf16" : "fp32", state_options.zero_stage);
  if (is_bf16 && !GemmHasNativeBf16(Exec{})) {
    LogWarning("this processor has no bf16 instructions: bf16 halves memory but is no faster");
  }
  LogInfo("model {}: {} parameters, {} layers of {}, {} heads, vocabulary {}",
          NameOf(config.model_type), CountText(static_cast<double>(CountParameters(config))),
          config.num_hidden_layers, config.hidden_size, config.num_attention_heads,
          config.vocab_size);
  const WindowAccount& account = loader->account();
  LogInfo("data {}: an epoch has {} subjects, {} windows, {} tokens, {} targets in {} steps",
          store.folder().string(), account.subjects, account.windows, account.tokens,
          account.targets, loader->StepsForEpochs(1.0));
  if (account.subjects_without_targets + account.static_tokens_left_out > 0) {
    LogInfo(
        "left out: {} subjects with static facts only, {} static tokens beyond a quarter window",
        account.subjects_without_targets, account.static_tokens_left_out);
  }
  const MemoryPlan plan = PlanMemory(config, state_options, communicator.size());
  LogInfo("memory of each rank: {}", plan.ToString());
  // A checkpoint copies this rank's shard: master weights and both moments.
  const std::int64_t held = ResidentBytes();
  const std::int64_t copy = plan.optimizer_bytes + plan.weight_bytes / communicator.size();
  LogInfo("peak of each rank: {:.0f} MiB, with {:.0f} held already and {:.0f} for checkpoints",
          static_cast<double>(plan.total_bytes() + held + copy) / 0x1.0p20,
          static_cast<double>(held) / 0x1.0p20, static_cast<double>(copy) / 0x1.0p20);
  LogInfo("{} steps of {} tokens; {} {}", total_steps, experiment.data.global_batch_tokens,
          checkpoint ? fmt::format("going on from step {} of", progress.step) : "a new run in",
          run.folder.string());
  if (experiment.evaluation.every_steps > 0 && !evaluates) {
    LogWarning("{} has no tuning split: no evaluation while training", store.folder().string());
  }
  if (checkpoint && !options.init_from.empty()) {
    LogWarning("--init-from is not read again: the run goes on from its own checkpoint");
  }
}

void TrainingRun::Begin() {
  Impl& my = *impl_;
  my.state = std::make_unique<TrainState>(my.config, my.state_options, my.communicator);
  if (my.checkpoint) {
    RestoreCheckpoint(*my.checkpoint, my.state->optimizer());
  } else if (!my.options.init_from.empty()) {
    my.state->LoadModel(WeightsFolderOf(my.options.init_from));
  } else {
    my.state->Initialize(my.experiment.seed);
  }
  my.OpenFolder();
  if (my.evaluates) {
    my.tuning = std::make_unique<EvaluationWindows>(
        my.store, EvaluationOptions{.split = Split::kTuning,
                                    .context_length = my.experiment.data.context_length,
                                    .microbatch_tokens = my.state_options.decoder.max_tokens,
                                    .max_windows = my.experiment.evaluation.max_windows});
  }
  const Exec exec{.num_threads = my.state_options.decoder.num_threads};
  my.communicator.Barrier();
  my.matrix_rate = MeasureMatrixRate(exec, my.state_options.decoder.compute_dtype);
  my.first_step = my.progress.step;
  my.shown.emplace(my.progress.step, my.total_steps);
  my.step_watch.Lap();
}

// From here on files are written. Every rank has read the folder's old content by now.
void TrainingRun::Impl::OpenFolder() {
  communicator.Barrier();
  if (is_first_rank()) {
    if (stored) {
      UpdateRun(run);
    } else {
      CreateRun(run, store.vocabulary());
    }
    metrics = std::make_unique<MetricsLog>(
        run.folder, progress.step, experiment.logging.tensorboard, experiment.logging.every_steps);
  }
  communicator.Barrier();
  writer = std::make_unique<CheckpointWriter>(
      state->optimizer(), communicator,
      CheckpointOptions{.folder = run.checkpoints(),
                        .keep_last = experiment.checkpoint.keep_last,
                        .keep_every = experiment.checkpoint.keep_every});
}

bool TrainingRun::done() const {
  return impl_->progress.step >= impl_->total_steps || impl_->out_of_patience();
}

StepInput TrainingRun::NextBatches() {
  impl_->communicator.SetActivity(impl_->progress.step + 1, "training");
  return impl_->loader->Next();
}

TrainStepResult TrainingRun::Step(const StepInput& batches) {
  Impl& my = *impl_;
  return TrainStep(*my.state, {.microbatches = batches.microbatches,
                               .learning_rate = LearningRate(my.experiment.schedule,
                                                             my.experiment.optimizer.learning_rate,
                                                             my.progress.step + 1, my.total_steps),
                               .seed = my.experiment.seed,
                               .step = my.progress.step});
}

void TrainingRun::Record(const TrainStepResult& result, const StepInput& batches) {
  Impl& my = *impl_;
  TrainingProgress& p = my.progress;
  ++p.step;
  p.tokens += result.tokens;
  p.targets += result.targets;
  p.skipped_steps += result.skipped ? 1 : 0;
  p.last_loss = result.loss;
  StepMetrics m;
  m.step = p.step;
  m.tokens = result.tokens;
  m.targets = result.targets;
  m.loss = result.loss;
  m.gradient_norm = result.gradient_norm;
  m.learning_rate = LearningRate(my.experiment.schedule, my.experiment.optimizer.learning_rate,
                                 p.step, my.total_steps);
  m.step_seconds = my.step_watch.Lap();
  m.tokens_per_second = static_cast<double>(m.tokens) / m.step_seconds;
  m.data_wait_seconds = batches.wait_seconds;
  m.communication_wait_seconds = result.communication_wait_seconds;
  m.checkpoint_wait_seconds = my.writer->TakeWaitSeconds();
  double flops = 0.0;
  for (const Batch& batch : batches.microbatches) {
    flops +=
        TrainingFlops(my.config, static_cast<double>(batch.num_tokens()), AttendedPairs(batch));
  }
  m.model_flops_utilization = flops / (m.step_seconds * my.matrix_rate);
  if (my.metrics) my.metrics->WriteStep(m);
  my.shown->AddStep(m.step_seconds, m.tokens, m.loss);
  LogProgress(my.shown->Line(), done());
}

bool TrainingRun::evaluation_due() const {
  const std::int64_t step = impl_->progress.step;
  return impl_->evaluates &&
         (step % impl_->experiment.evaluation.every_steps == 0 || step == impl_->total_steps);
}

void TrainingRun::EvaluateOnTuning() {
  Impl& my = *impl_;
  my.communicator.SetActivity(my.progress.step, "evaluating");
  const SplitScore score = ScoreSplit(*my.state, my.store, *my.tuning, my.log_weights);
  TrainingProgress& p = my.progress;
  p.last_evaluated_step = p.step;
  my.best_is_new = p.best_step < 0 || score.nll_per_token < p.best_nll;
  if (my.best_is_new) {
    p.best_nll = score.nll_per_token;
    p.best_step = p.step;
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
  const std::int64_t every = impl_->experiment.checkpoint.every_steps;
  return impl_->best_is_new || (every > 0 && impl_->progress.step % every == 0);
}

void TrainingRun::StartCheckpoint() {
  Impl& my = *impl_;
  if (my.metrics) my.metrics->Sync();
  my.writer->Start(
      {.step = my.progress.step,
       .best_step = my.progress.best_step,
       .trainer_state =
           ProgressToJson(my.progress, my.loader->state(), my.run.identity.result_hash),
       .text_files = {
           {"config.json", ModelConfigToJson(my.config, my.state_options.decoder.compute_dtype)}}});
  my.best_is_new = false;
}

void TrainingRun::PollCheckpoint() { impl_->writer->Poll(); }

void TrainingRun::StopWithCheckpoint(const std::string& reason) {
  StartCheckpoint();
  impl_->writer->Finish();
  throw StopRequested(fmt::format(
      "stopped by {} after step {} of {}; a checkpoint is written: start the same command again to "
      "go on",
      reason, impl_->progress.step, impl_->total_steps));
}

void TrainingRun::Impl::WriteSummary(double seconds) const {
  nlohmann::ordered_json json = {
      {"result_hash", run.identity.result_hash},
      {"steps", progress.step},
      {"planned_steps", total_steps},
      {"stopped_early", progress.step < total_steps},
      {"skipped_steps", progress.skipped_steps},
      {"tokens", progress.tokens},
      {"targets", progress.targets},
      {"parameters", CountParameters(config)},
      {"final_loss", progress.last_loss},
      {"ranks", communicator.size()},
      {"threads_per_rank", state_options.decoder.num_threads},
      {"seconds_of_last_start", seconds},
      {"steps_of_last_start", progress.step - first_step},
  };
  if (progress.best_step >= 0) {
    json["best_step"] = progress.best_step;
    json["best_tuning_nll_per_token"] = progress.best_nll;
  }
  WriteFileAtomically(run.folder / "summary.json", json.dump(1) + "\n");
}

void TrainingRun::End() {
  Impl& my = *impl_;
  if (my.progress.step == my.first_step) {
    LogInfo("{} is finished already ({} steps); nothing to do", my.run.folder.string(),
            my.progress.step);
    return;
  }
  StartCheckpoint();
  my.writer->Finish();
  const double seconds = my.run_watch.Seconds();
  if (my.is_first_rank()) my.WriteSummary(seconds);
  my.communicator.Barrier();
  LogInfo("done: {} steps in {}{}", my.progress.step, DurationText(seconds),
          my.progress.best_step < 0
              ? std::string()
              : fmt::format("; best on tuning: {:.4f} nats per token at step {}",
                            my.progress.best_nll, my.progress.best_step));
}

}  // namespace sequela
