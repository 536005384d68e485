// Where the first weights of a run come from: --init-from.
#pragma once

#include <filesystem>

#include "trainer/model/model_config.h"

namespace sequela {

// Refuses weights of another architecture than the experiment's (`wanted`) by the first setting that
// differs: InputError naming their folder. Settings that change no given weight may differ.
void CheckSameArchitecture(const std::filesystem::path& folder, ModelConfig found,
                           const ModelConfig& wanted);

}  // namespace sequela
