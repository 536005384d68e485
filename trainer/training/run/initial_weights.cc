#include "trainer/training/run/initial_weights.h"

#include <sstream>
#include <string>

#include "kernels/base/errors.h"

namespace sequela {

namespace fs = std::filesystem;

void CheckSameArchitecture(const fs::path& folder, ModelConfig found, const ModelConfig& wanted) {
  found.max_position_embeddings = wanted.max_position_embeddings;
  found.dropout = wanted.dropout;
  found.attention_dropout = wanted.attention_dropout;
  found.initializer_range = wanted.initializer_range;
  found.bos_token_id = wanted.bos_token_id;
  found.eos_token_id = wanted.eos_token_id;
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
