#include "trainer/model/hf_model.h"

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"

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

// What the file should not hold: tensors that no parameter of the model reads. A tied head that was
// written out all the same, and the rotary frequencies of old files, say nothing new.
bool IsSuperfluous(const std::string& name, const ParameterTable& table) {
  return (name == "lm_head.weight" && table.Find(name) < 0) ||
         name.ends_with("rotary_emb.inv_freq");
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
  std::vector<std::string> unknown;
  for (const std::string& name : model.names()) {
    if (table.Find(name) < 0 && !IsSuperfluous(name, table)) unknown.push_back(name);
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
    : model_(folder), table_(table) {
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

}  // namespace sequela
