#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"
#include "kernels/base/path_names.h"
#include "runtime/checkpoint.h"
#include "runtime/checkpoint/optimizer_files.h"
#include "runtime/checkpoint/state_file.h"
#include "runtime/log.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

FoundCheckpoint Describe(const fs::path& folder, CheckpointState state) {
  return {.folder = folder,
          .step = state.step,
          .best_step = state.best_step,
          .num_updates = state.num_updates,
          .world_size = state.world_size,
          .zero_stage = state.zero_stage,
          .compute_dtype = std::move(state.compute_dtype),
          .num_elements = state.num_elements,
          .trainer_state = std::move(state.trainer_state),
          .skipped = {}};
}

// The folder itself is known to every rank: only its name travels. Messages may hold paths of any
// bytes.
std::string ToText(const std::optional<FoundCheckpoint>& found) {
  if (!found) return "";
  return Json{{"name", found->folder.filename().string()},
              {"step", found->step},
              {"best_step", found->best_step},
              {"num_updates", found->num_updates},
              {"world_size", found->world_size},
              {"zero_stage", found->zero_stage},
              {"compute_dtype", found->compute_dtype},
              {"num_elements", found->num_elements},
              {"trainer_state", found->trainer_state},
              {"skipped", found->skipped}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<FoundCheckpoint> FromText(const std::string& text, const fs::path& folder) {
  if (text.empty()) return std::nullopt;
  const Json json = ParseJsonText(text, "a checkpoint's facts");  // what ToText made
  return FoundCheckpoint{.folder = folder / json.at("name").get<std::string>(),
                         .step = json.at("step"),
                         .best_step = json.at("best_step"),
                         .num_updates = json.at("num_updates"),
                         .world_size = json.at("world_size"),
                         .zero_stage = json.at("zero_stage"),
                         .compute_dtype = json.at("compute_dtype"),
                         .num_elements = json.at("num_elements"),
                         .trainer_state = json.at("trainer_state"),
                         .skipped = json.at("skipped")};
}

bool SamePlace(const ParameterPiece& a, const ParameterPiece& b) {
  return a.name == b.name && a.rows == b.rows && a.columns == b.columns && a.offset == b.offset;
}

void CheckParameters(const fs::path& folder, const CheckpointState& state,
                     const ParameterTable& table) {
  const auto& pieces = table.pieces();
  const auto [stored, ours] = std::mismatch(state.parameters.begin(), state.parameters.end(),
                                            pieces.begin(), pieces.end(), SamePlace);
  if (stored == state.parameters.end() && ours == pieces.end() &&
      state.num_elements == table.num_elements()) {
    return;
  }
  const auto text = [](const ParameterPiece& piece) {
    return fmt::format("{} [{}, {}]", piece.name, piece.rows, piece.columns);
  };
  throw InputError("{}: holds another model: found {} where {} was expected", folder.string(),
                   stored == state.parameters.end() ? "no more parameters" : text(*stored),
                   ours == pieces.end() ? "no more" : text(*ours));
}

void ReadModel(const fs::path& folder, FlatBuffers& buffers) {
  const SafetensorsModel model = OpenWeights(folder);
  const ParameterTable& table = buffers.table();
  std::vector<float> values;
  for (int i = 0; i < table.num_pieces(); ++i) {
    const ParameterPiece& piece = table.piece(i);
    values.resize(static_cast<std::size_t>(piece.size()));
    const std::vector<std::int64_t> shape =
        piece.num_dims == 1 ? std::vector{piece.columns} : std::vector{piece.rows, piece.columns};
    model.ReadFloats(piece.name, shape, values);
    buffers.SetPiece(i, values);
  }
}

}  // namespace

std::string CheckpointName(std::int64_t step) { return fmt::format("step-{:08}", step); }

FoundCheckpoint OpenCheckpoint(const fs::path& checkpoint_folder, CheckpointUse use) {
  CheckpointState state = ReadState(checkpoint_folder);
  std::vector<WrittenFile> needed;
  for (const WrittenFile& file : state.files) {
    if (use == CheckpointUse::kResume || !IsOptimizerFile(file.name)) needed.push_back(file);
  }
  CheckFiles(checkpoint_folder, needed);
  OpenWeights(checkpoint_folder).RequireFinite();
  return Describe(checkpoint_folder, std::move(state));
}

FoundCheckpoint ReadCheckpointFacts(const fs::path& checkpoint_folder) {
  return Describe(checkpoint_folder, ReadState(checkpoint_folder));
}

SafetensorsModel OpenWeights(const fs::path& folder) {
  if (!PathExists(folder / kStateFile)) return SafetensorsModel(folder);
  std::vector<std::string> names;
  for (const WrittenFile& file : ReadState(folder).files) names.push_back(file.name);
  return {folder, names};
}

std::optional<FoundCheckpoint> FindCheckpoint(const fs::path& folder, CheckpointUse use) {
  // The run that is being read may replace all of its checkpoints while they are looked through.
  constexpr int kAttempts = 100;
  std::vector<std::string> skipped;
  bool vanished = true;
  for (int attempt = 0; vanished && attempt < kAttempts; ++attempt) {
    skipped.clear();
    vanished = false;
    for (const auto& [step, path] : ListCheckpoints(folder)) {
      try {
        FoundCheckpoint found = OpenCheckpoint(path, use);
        for (const std::string& fault : skipped) {
          LogWarning("{}; going on from {} instead", fault, path.filename().string());
        }
        found.skipped = std::move(skipped);
        return found;
      } catch (const InputError& error) {
        if (PathExists(path)) {
          skipped.emplace_back(error.what());
        } else {
          vanished = true;
        }
      }
    }
  }
  if (vanished) {
    throw InputError(
        "{}: the run replaces its checkpoints faster than they can be read; raise "
        "checkpoint.keep_last, or try again later",
        folder.string());
  }
  if (skipped.empty()) return std::nullopt;
  throw InputError("{}: no checkpoint here is whole:\n  {}\n{}", folder.string(),
                   fmt::join(skipped, "\n  "),
                   use == CheckpointUse::kResume
                       ? "Copy a whole one back, or name another run.folder to begin anew."
                       : "Copy a whole one back, or wait for the run's next one.");
}

std::optional<FoundCheckpoint> FindCheckpoint(const fs::path& folder, Communicator& communicator,
                                              CheckpointUse use) {
  std::string text;
  if (communicator.rank() == 0) text = ToText(FindCheckpoint(folder, use));
  return FromText(communicator.BroadcastText(std::move(text), 0), folder);
}

void RestoreCheckpoint(const FoundCheckpoint& checkpoint, ShardedOptimizer& optimizer) {
  const CheckpointState state = ReadState(checkpoint.folder);
  FlatBuffers& buffers = optimizer.buffers();
  CheckParameters(checkpoint.folder, state, buffers.table());
  if (state.compute_dtype != SafetensorsName(buffers.compute_dtype())) {
    throw InputError("{}: was trained in {}; this run computes in {}", checkpoint.folder.string(),
                     state.compute_dtype, SafetensorsName(buffers.compute_dtype()));
  }
  ReadModel(checkpoint.folder, buffers);
  ReadOptimizerFiles(checkpoint.folder, state, optimizer);
  optimizer.set_num_updates(state.num_updates);
  optimizer.PublishParameters();
}

}  // namespace sequela
