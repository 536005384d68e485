#include "trainer/training/run/initial_weights.h"

#include <sstream>
#include <string>

#include "kernels/base/errors.h"
#include "runtime/checkpoint.h"
#include "trainer/experiment/run_folder.h"
#include "trainer/model/hf_model.h"

namespace sequela {

namespace fs = std::filesystem;

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

}  // namespace sequela
