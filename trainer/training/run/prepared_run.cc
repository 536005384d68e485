#include "trainer/training/run/prepared_run.h"

#include <cmath>
#include <string>
#include <utility>

#include "dataio/loader/event_balance.h"
#include "dataio/store/run_store.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"
#include "kernels/base/path_names.h"
#include "kernels/base/writer_lock.h"
#include "runtime/log.h"
#include "trainer/evaluation/split_score.h"
#include "trainer/experiment/decoder_settings.h"
#include "trainer/experiment/experiment_fields.h"
#include "trainer/experiment/open_device.h"
#include "trainer/training/run/initial_weights.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

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

TrainStateOptions TrainStateOptionsOf(const Experiment& experiment, const World& world) {
  TrainStateOptions options;
  options.decoder = DecoderOptionsOf(experiment, world);
  const OptimizerSection& optimizer = experiment.optimizer;
  options.optimizer = {optimizer.beta1, optimizer.beta2, optimizer.epsilon, optimizer.weight_decay,
                       optimizer.clip_gradient_norm};
  options.zero_stage = narrow<int>(experiment.parallel.zero_stage);
  return options;
}

}  // namespace

PreparedRun::PreparedRun(const Experiment& experiment_in, const TrainOptions& options_in,
                         World& world_in)
    : experiment(experiment_in),
      options(options_in),
      world(world_in),
      communicator(world_in.communicator()),
      device(OpenDevice(experiment.parallel.device, world)),
      store(ChainStore::Open(RequireStore(experiment))),
      config(ModelConfigOf(experiment, store.vocabulary().size())),
      state_options(TrainStateOptionsOf(experiment, world)) {
  config.bos_token_id = store.vocabulary().bos();
  config.eos_token_id = store.vocabulary().end();
  if (experiment.objective.event_balance_alpha != 1.0) BalanceTargets();
  FindResumePoint();
  if (!checkpoint && !options.init_from.empty()) {
    initial = OpenInitialWeights(options.init_from, communicator);
    if (const auto source = RunOfWeights(options.init_from)) CheckSameVocabulary(*source, store);
    CheckSameArchitecture(initial.folder, initial.model->config(), config);
  }
  OpenLoader();
}

void PreparedRun::BalanceTargets() {
  target_weights = BalanceWeights(store.vocabulary(), experiment.objective.event_balance_alpha);
  for (const float weight : target_weights) log_weights.push_back(std::log(weight));
}

void PreparedRun::OnFirstRank(const std::function<void()>& work) {
  std::string refusal;
  if (is_first_rank()) {
    try {
      work();
    } catch (const InputError& error) {
      refusal = error.what();
    }
  }
  refusal = communicator.BroadcastText(std::move(refusal), 0);
  if (!refusal.empty()) throw InputError(refusal);
}

void PreparedRun::TakeLock() {
  lock = WriterLock::Take(run.folder, run.folder);
  if (lock && !lock->takeover().empty()) LogWarning("{}", lock->takeover());
}

void PreparedRun::TakeNewFolder() {
  MakeFolders(run.folder);
  TakeLock();
  if (lock == nullptr || FindRun(run.folder)) {
    throw InputError(
        "{}: another job created or removed this folder just now. Start again, or name another "
        "run.folder",
        run.folder.string());
  }
}

void PreparedRun::FindResumePoint() {
  run.folder = RequireRunFolder(experiment);
  run.experiment = experiment;
  OnFirstRank([this] {
    if (!options.dry_run && FindRun(run.folder)) TakeLock();
  });
  stored = FindRun(run.folder);  // as the last holder left it
  if (stored) {
    CheckStoredRun();
    checkpoint = FindCheckpoint(run.checkpoints(), communicator);
    if (checkpoint) progress = ProgressFromJson(*checkpoint).progress;
    CheckResumable(stored->experiment, experiment, progress.step);
  }
  run.identity = {store.content_hash(),
                  RecordedStorePath(store.folder()),
                  store.vocabulary().hash(),
                  ResultHash(experiment, store.content_hash()),
                  stored ? stored->identity.init_from : options.init_from.string(),
                  target_weights};
}

void PreparedRun::CheckStoredRun() const {
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

LoaderOptions PreparedRun::MakeLoaderOptions() const {
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

void PreparedRun::OpenLoader() {
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

}  // namespace sequela
