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
  // Opens and compares with the model's table (borrowed). Of a checkpoint of ours, only files that
  // its state.json lists. Throws InputError naming the folder and the tensors that are missing,
  // unknown, or of another shape. What is no parameter is not read and may have any type: a tied
  // model's lm_head.weight, tensors of whole numbers, and those that are called neither .weight nor
  // .bias (rotary_emb.inv_freq of old files).
  ModelWeights(const std::filesystem::path& folder, const ParameterTable& table);

  // The values of one parameter in fp32 (BF16, F16 and F64 are converted). Throws InputError where
  // one is no finite number. REQUIRES: values.size() == piece.size().
  void Read(int piece, std::span<float> values) const;
  // All of them into weights and vectors.
  void ReadAll(FlatBuffers& buffers) const;

 private:
  SafetensorsModel model_;
  const ParameterTable& table_;
};

// Settings and weights of such a folder, opened and compared with each other: what is read of it
// later is there, even where the files are deleted meanwhile.
class OpenedModel {
 public:
  // Throws InputError as LoadModelConfig and ModelWeights do.
  explicit OpenedModel(const std::filesystem::path& folder);
  OpenedModel(const OpenedModel&) = delete;
  OpenedModel& operator=(const OpenedModel&) = delete;

  const ModelConfig& config() const { return config_; }
  const ModelWeights& weights() const { return weights_; }

 private:
  ModelConfig config_;
  ParameterTable table_;
  ModelWeights weights_;
};

}  // namespace sequela
