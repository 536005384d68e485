#include "trainer/model/hf_model.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "runtime/checkpoint.h"
#include "trainer/model/parameter_pieces.h"

namespace sequela {
namespace {

std::vector<std::int64_t> ShapeOf(const ParameterPiece& piece) {
  if (piece.num_dims == 1) return {piece.columns};
  return {piece.rows, piece.columns};
}

std::string Listed(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

// Whether a tensor that is none of the model's can be left aside: a tied head that was written out
// all the same, and what is no parameter (rotary frequencies, masks, counters). An unknown parameter
// means that config.json describes another model.
bool IsSuperfluous(const SafetensorsEntry& entry) {
  const bool is_number = entry.type.starts_with("F") || entry.type.starts_with("BF");
  const bool is_parameter = entry.name.ends_with(".weight") || entry.name.ends_with(".bias");
  return entry.name == "lm_head.weight" || !is_number || !is_parameter;
}

void CheckNames(const std::filesystem::path& folder, const SafetensorsModel& model,
                const ParameterTable& table) {
  std::vector<std::string> missing;
  std::vector<std::string> misshaped;
  for (const ParameterPiece& piece : table.pieces()) {
    if (!model.Has(piece.name)) {
      missing.push_back(piece.name);
    } else if (model.Get(piece.name).shape != ShapeOf(piece)) {
      misshaped.push_back(fmt::format("{} [{}] for [{}]", piece.name,
                                      fmt::join(model.Get(piece.name).shape, ", "),
                                      fmt::join(ShapeOf(piece), ", ")));
    }
  }
  std::unordered_set<std::string_view> known;
  for (const ParameterPiece& piece : table.pieces()) known.insert(piece.name);
  std::vector<std::string> unknown;
  for (const std::string& name : model.names()) {
    if (!known.contains(name) && !IsSuperfluous(model.Get(name))) unknown.push_back(name);
  }
  if (missing.empty() && misshaped.empty() && unknown.empty()) return;
  std::string message =
      fmt::format("{}: the tensors are not those of the model in config.json", folder.string());
  if (!missing.empty()) message += "; missing: " + Listed(missing);
  if (!misshaped.empty()) message += "; of another shape: " + Listed(misshaped);
  if (!unknown.empty()) message += "; unknown: " + Listed(unknown);
  throw InputError(message);
}

}  // namespace

ModelConfig LoadModelConfig(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.json";
  return ModelConfigFromJson(ReadFile(file), file);
}

ModelWeights::ModelWeights(const std::filesystem::path& folder, const ParameterTable& table)
    : model_(OpenWeights(folder)), table_(table) {
  CheckNames(folder, model_, table);
}

void ModelWeights::Read(int piece, std::span<float> values) const {
  const ParameterPiece& wanted = table_.piece(piece);
  model_.ReadFloats(wanted.name, ShapeOf(wanted), values);
}

void ModelWeights::ReadAll(FlatBuffers& buffers) const {
  std::vector<float> values;
  for (int piece = 0; piece < table_.num_pieces(); ++piece) {
    values.resize(static_cast<std::size_t>(table_.piece(piece).size()));
    Read(piece, values);
    buffers.SetPiece(piece, values);
  }
}

OpenedModel::OpenedModel(const std::filesystem::path& folder)
    : config_(LoadModelConfig(folder)),
      table_(BuildParameterTable(config_)),
      weights_(folder, table_) {}

}  // namespace sequela
