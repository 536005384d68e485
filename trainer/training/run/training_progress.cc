#include "trainer/training/run/training_progress.h"

#include <nlohmann/json.hpp>

#include "kernels/base/errors.h"

namespace sequela {

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

}  // namespace sequela
