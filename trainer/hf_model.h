// Models on disk as Hugging Face writes them: config.json and model.safetensors (one file, or
// several with an index). A checkpoint folder of ours is such a folder too.
#pragma once

#include <filesystem>
#include <functional>
#include <span>

#include "runtime/parameter_table.h"
#include "trainer/model_config.h"

namespace sequela {

// config.json of the folder (trainer/model_config.h). Throws InputError.
ModelConfig LoadModelConfig(const std::filesystem::path& folder);

// Hands every parameter's fp32 values, in the table's order, to `take`. Throws InputError naming
// the folder and the tensors that are missing, unknown, or of another shape than the model's,
// before anything was taken. A tied model's lm_head.weight may be there or not; it is not read.
void LoadModelWeights(const std::filesystem::path& folder, const ParameterTable& table,
                      const std::function<void(int piece, std::span<const float> values)>& take);

// Writes config.json and model.safetensors with the weights as they are (compute dtype). The folder
// exists; files appear under their final names (not atomic as a pair: checkpoints use
// runtime/checkpoint.h). Throws MachineError.
void SaveModel(const std::filesystem::path& folder, const ModelConfig& config,
               const FlatBuffers& buffers);

}  // namespace sequela
