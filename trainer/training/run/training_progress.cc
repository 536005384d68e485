#include "trainer/training/run/training_progress.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "kernels/base/json_fields.h"
#include "kernels/base/json_text.h"

namespace sequela {
namespace {

// JSON has no NaN: it is written as null.
double NumberOf(const JsonField& field) {
  return field.IsNull() ? std::numeric_limits<double>::quiet_NaN() : field.Number();
}

}  // namespace

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
      {"last_loss", progress.last_loss},
  };
  return json.dump();
}

RestoredProgress ProgressFromJson(const FoundCheckpoint& checkpoint) {
  constexpr std::int64_t kMost = std::int64_t{1} << 60;
  const std::string place = (checkpoint.folder / "state.json").string() + ": trainer";
  const nlohmann::json document = ParseJsonText(checkpoint.trainer_state, place);
  const JsonField json(document, place);
  RestoredProgress restored;
  restored.loader.row = json["loader_row"].Integer(0, kMost);
  TrainingProgress& p = restored.progress;
  p.step = json["step"].Integer(0, kMost);
  p.tokens = json["tokens"].Integer(0, kMost);
  p.targets = json["targets"].Integer(0, kMost);
  p.skipped_steps = json["skipped_steps"].Integer(0, kMost);
  p.best_nll = NumberOf(json["best_nll"]);
  p.best_step = json["best_step"].Integer(-1, kMost);
  p.evaluations_since_best = json["evaluations_since_best"].Integer(0, kMost);
  p.last_loss = NumberOf(json["last_loss"]);
  return restored;
}

}  // namespace sequela
