#include "trainer/experiment/run_weights.h"

#include <fmt/format.h>

#include <chrono>
#include <span>
#include <system_error>
#include <thread>
#include <utility>

#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"
#include "runtime/checkpoint.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

// A run that writes a checkpoint every few milliseconds is met in tests alone; others leave one for
// minutes.
constexpr int kAttempts = 200;
constexpr auto kPause = std::chrono::milliseconds(5);

// What rank 0 tells the others of its choice.
struct Chosen {
  fs::path folder;
  std::int64_t step = -1;
  std::string choice;
};

// Nothing where the folder is not there (any more); throws what else is wrong with it.
std::optional<Chosen> CheckIfThere(const fs::path& folder, const char* choice) {
  try {
    return Chosen{folder, OpenCheckpoint(folder, CheckpointUse::kWeights).step, choice};
  } catch (const InputError&) {
    if (PathExists(folder)) throw;
    return std::nullopt;
  }
}

std::optional<Chosen> TryToChoose(const StoredRun& run, const WeightsChoice& choice) {
  if (choice.step)
    return CheckIfThere(run.checkpoints() / CheckpointName(*choice.step), "as asked");
  auto newest = FindCheckpoint(run.checkpoints(), CheckpointUse::kWeights);
  if (!newest) {
    throw InputError("{}: this run has no checkpoint yet; train it first", run.folder.string());
  }
  const bool is_best = newest->best_step == newest->step;
  if (choice.newest || newest->best_step < 0 || is_best) {
    return Chosen{newest->folder, newest->step, is_best ? "best on tuning" : "newest"};
  }
  return CheckIfThere(run.checkpoints() / CheckpointName(newest->best_step), "best on tuning");
}

Chosen Choose(const StoredRun& run, const WeightsChoice& choice) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (auto chosen = TryToChoose(run, choice)) return *std::move(chosen);
    if (choice.step) break;
    std::this_thread::sleep_for(kPause);
  }
  if (choice.step) {
    throw InputError("{}: has no checkpoint of step {}; `sequela inspect {}` lists those there are",
                     run.folder.string(), *choice.step, run.folder.string());
  }
  throw InputError(
      "{}: the checkpoint that was the best on tuning is not there; --newest takes the "
      "newest",
      run.folder.string());
}

// Rank 0's choice on every rank. `folder` is known to all: only the checkpoint's name travels.
Chosen Agree(const StoredRun& run, const Chosen& mine, Communicator& communicator) {
  if (communicator.size() == 1) return mine;
  const std::string text = communicator.BroadcastText(
      fmt::format("{}/{}/{}", mine.folder.filename().string(), mine.step, mine.choice), 0);
  const std::size_t first = text.find('/');
  const std::size_t second = text.find('/', first + 1);
  return {run.checkpoints() / text.substr(0, first),
          std::stoll(text.substr(first + 1, second - first - 1)), text.substr(second + 1)};
}

// Nothing where the folder went away; throws what else is wrong with it.
std::unique_ptr<OpenedModel> OpenIfThere(const fs::path& folder) {
  try {
    return std::make_unique<OpenedModel>(folder);
  } catch (const InputError&) {
    if (PathExists(folder)) throw;
    return nullptr;
  }
}

}  // namespace

RunWeights OpenRunWeights(const StoredRun& run, const WeightsChoice& choice,
                          Communicator& communicator) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const Chosen mine = communicator.rank() == 0 ? Choose(run, choice) : Chosen{};
    const Chosen chosen = Agree(run, mine, communicator);
    std::unique_ptr<OpenedModel> model = OpenIfThere(chosen.folder);
    std::int64_t missing = model ? 0 : 1;
    communicator.AllReduceSum(std::span(&missing, 1));
    if (missing == 0) return {chosen.folder, chosen.step, chosen.choice, std::move(model)};
    std::this_thread::sleep_for(kPause);
  }
  throw InputError(
      "{}: the run replaces its checkpoints faster than they can be read; raise "
      "checkpoint.keep_last, or try again later",
      run.folder.string());
}

std::optional<StoredRun> RunOfWeights(const fs::path& init_from) {
  if (PathExists(init_from / "experiment.yaml")) return OpenRun(init_from);
  // RUN/checkpoints/step-00000100
  const fs::path above = init_from / "../..";
  const bool in_run = PathExists(init_from / "state.json") &&
                      PathExists(above / "experiment.yaml") && PathExists(above / "run.json");
  std::error_code ignored;
  return in_run ? FindRun(fs::canonical(above, ignored)) : std::nullopt;
}

RunWeights OpenInitialWeights(const fs::path& init_from, Communicator& communicator) {
  if (!PathExists(init_from)) {
    throw InputError("--init-from {}: there is nothing here", init_from.string());
  }
  if (PathExists(init_from / "experiment.yaml")) {
    return OpenRunWeights(OpenRun(init_from), {}, communicator);
  }
  RunWeights weights{.folder = init_from};
  if (communicator.rank() == 0 && PathExists(init_from / "state.json")) {
    OpenCheckpoint(init_from, CheckpointUse::kWeights);
  }
  weights.model = std::make_unique<OpenedModel>(init_from);
  return weights;
}

}  // namespace sequela
