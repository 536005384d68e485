// Models on disk as Hugging Face writes them: config.json and model.safetensors (one file, or
// several with an index). A checkpoint folder of ours is such a folder too.
#pragma once

#include <filesystem>
#include <span>

#include "runtime/parameter_table.h"
#include "runtime/safetensors.h"
#include "trainer/model/model_config.h"

namespace sequela {

// config.json of the folder (trainer/model/model_config.h). Throws InputError.
ModelConfig LoadModelConfig(const std::filesystem::path& folder);

// The weights of such a folder, ready to be read piece by piece. Safe for concurrent reading.
class ModelWeights {
 public:
  // Opens and compares with the model's table (borrowed). Throws InputError naming the folder and
  // the tensors that are missing, unknown, or of another shape. A tied model's lm_head.weight may
  // be there or not; it is not read.
  ModelWeights(const std::filesystem::path& folder, const ParameterTable& table);

  // The values of one parameter in fp32 (BF16 is widened). REQUIRES: values.size() == piece.size().
  void Read(int piece, std::span<float> values) const;
  // All of them into weights and vectors.
  void ReadAll(FlatBuffers& buffers) const;

 private:
  SafetensorsModel model_;
  const ParameterTable& table_;
};

}  // namespace sequela
