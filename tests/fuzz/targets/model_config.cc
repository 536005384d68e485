// config.json of a checkpoint, ours or Hugging Face's.
#include "trainer/model/model_config.h"
#include "kernels/base/check.h"
#include "tests/fuzz/target.h"

namespace sequela::testing {

void ReadModelConfig(std::string_view input) {
  const ModelConfig config = ModelConfigFromJson(input, "config.json");
  ValidateModelConfig(config);
  SEQUELA_CHECK(CountParameters(config) > 0 && CountMatmulParameters(config) > 0);
  const std::string written = ModelConfigToJson(config, DType::kFloat32);
  SEQUELA_CHECK(ModelConfigFromJson(written, "config.json") == config, "{}", written);
}

}  // namespace sequela::testing
