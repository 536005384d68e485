// Where the first weights of a run come from: --init-from.
#pragma once

#include <filesystem>

#include "trainer/model/model_config.h"

namespace sequela {

// The folder of weights that --init-from means: of a run, its best checkpoint. Throws InputError
// where there is none.
std::filesystem::path WeightsFolderOf(const std::filesystem::path& init_from);

// Refuses weights of another architecture by the first setting that differs: InputError.
void CheckSameArchitecture(const std::filesystem::path& folder, ModelConfig wanted);

}  // namespace sequela
