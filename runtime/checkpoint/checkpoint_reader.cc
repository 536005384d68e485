#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "kernels/base/errors.h"
#include "runtime/checkpoint.h"
#include "runtime/checkpoint/snapshot.h"
#include "runtime/checkpoint/state_file.h"
#include "runtime/log.h"
#include "runtime/safetensors.h"

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
          .trainer_state = std::move(state.trainer_state),
          .skipped = {}};
}

std::string ToText(const std::optional<FoundCheckpoint>& found) {
  if (!found) return "";
  // Not the whole path: it may not be UTF-8, and every rank knows the folder above.
  return Json{{"name", found->folder.filename().string()},
              {"step", found->step},
              {"best_step", found->best_step},
              {"num_updates", found->num_updates},
              {"world_size", found->world_size},
              {"zero_stage", found->zero_stage},
              {"compute_dtype", found->compute_dtype},
              {"trainer_state", found->trainer_state},
              {"skipped", found->skipped}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<FoundCheckpoint> FromText(const std::string& text, const fs::path& checkpoints) {
  if (text.empty()) return std::nullopt;
  const Json json = Json::parse(text);
  return FoundCheckpoint{.folder = checkpoints / json.at("name").get<std::string>(),
                         .step = json.at("step"),
                         .best_step = json.at("best_step"),
                         .num_updates = json.at("num_updates"),
                         .world_size = json.at("world_size"),
                         .zero_stage = json.at("zero_stage"),
                         .compute_dtype = json.at("compute_dtype"),
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

// Copies what the file holds of the optimizer's runs; returns how many elements of each tensor.
std::int64_t ReadOptimizerFile(const SafetensorsFile& file, ShardedOptimizer& optimizer) {
  const auto tensor = [&](const char* name, DType dtype) {
    const SafetensorsEntry* entry = file.Find(name);
    if (entry == nullptr || entry->dtype != dtype) {
      throw InputError("{}: has no tensor \"{}\" of {}", file.path().string(), name,
                       SafetensorsName(dtype));
    }
    return entry->bytes;
  };
  const std::span<const std::byte> run_bytes = tensor("runs", DType::kInt64);
  std::vector<std::int64_t> runs(run_bytes.size() / sizeof(std::int64_t));
  std::ranges::copy(run_bytes, std::as_writable_bytes(std::span(runs)).begin());  // of no run too

  struct Target {
    std::span<float> values;
    std::span<const std::byte> bytes;
  };
  std::vector<Target> targets = {{optimizer.m(), tensor("m", DType::kFloat32)},
                                 {optimizer.v(), tensor("v", DType::kFloat32)}};
  if (optimizer.has_master()) {
    targets.push_back({optimizer.master(), tensor("master", DType::kFloat32)});
  }
  std::int64_t copied = 0;
  std::int64_t stored = 0;  // where the file's run begins in its tensors
  for (std::size_t i = 0; i + 1 < runs.size(); i += 2) {
    const TileRun theirs{runs[i], runs[i + 1]};
    std::int64_t local = 0;
    for (const TileRun& mine : optimizer.runs()) {
      const std::int64_t begin = std::max(theirs.begin, mine.begin);
      const std::int64_t end = std::min(theirs.end, mine.end);
      for (const Target& target : targets) {
        if (begin >= end) break;
        const std::size_t from =
            static_cast<std::size_t>(stored + begin - theirs.begin) * sizeof(float);
        const std::size_t bytes = static_cast<std::size_t>(end - begin) * sizeof(float);
        if (from + bytes > target.bytes.size()) {
          throw InputError("{}: its runs reach beyond its tensors", file.path().string());
        }
        optimizer.buffers().device().Copy(target.values.data() + local + (begin - mine.begin),
                                          target.bytes.data() + from,
                                          static_cast<std::int64_t>(bytes));
      }
      copied += std::max<std::int64_t>(0, end - begin);
      local += mine.size();
    }
    stored += theirs.size();
  }
  return copied;
}

void ReadModel(const fs::path& folder, FlatBuffers& buffers) {
  const SafetensorsModel model(folder);
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

FoundCheckpoint OpenCheckpoint(const fs::path& checkpoint_folder) {
  CheckpointState state = ReadState(checkpoint_folder);
  CheckFiles(checkpoint_folder, state.files);
  return Describe(checkpoint_folder, std::move(state));
}

std::optional<FoundCheckpoint> FindCheckpoint(const fs::path& folder) {
  std::vector<std::string> skipped;
  for (const auto& [step, path] : ListCheckpoints(folder)) {
    try {
      FoundCheckpoint found = OpenCheckpoint(path);
      for (const std::string& fault : skipped) {
        LogWarning("{}; going on from {} instead", fault, path.filename().string());
      }
      found.skipped = std::move(skipped);
      return found;
    } catch (const InputError& error) {
      skipped.emplace_back(error.what());
    }
  }
  if (skipped.empty()) return std::nullopt;
  throw InputError(
      "{}: no checkpoint here is whole:\n  {}\nRemove or move this folder to begin anew.",
      folder.string(), fmt::join(skipped, "\n  "));
}

std::optional<FoundCheckpoint> FindCheckpoint(const fs::path& folder, Communicator& communicator) {
  std::string text;
  if (communicator.rank() == 0) text = ToText(FindCheckpoint(folder));
  return FromText(communicator.BroadcastText(std::move(text), 0));
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
  std::int64_t copied = 0;
  for (int rank = 0; rank < state.world_size; ++rank) {
    const SafetensorsFile file(checkpoint.folder / OptimizerFileName(rank, state.world_size));
    copied += ReadOptimizerFile(file, optimizer);
  }
  if (copied != std::ssize(optimizer.m())) {
    throw InputError("{}: its optimizer files hold {} of {} elements of this rank",
                     checkpoint.folder.string(), copied, optimizer.m().size());
  }
  optimizer.set_num_updates(state.num_updates);
  optimizer.PublishParameters();
}

}  // namespace sequela
