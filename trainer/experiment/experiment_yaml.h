// Experiments from YAML files and command-line overrides.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "trainer/experiment/experiment.h"

namespace sequela {

// Defaults, then the file's fields. Throws InputError with file:line:column, the key, what was
// found and expected, and for an unknown key the nearest known one.
Experiment ParseExperiment(std::string_view yaml, const std::filesystem::path& file_for_messages);

// ReadFile + ParseExperiment + "key.path=value" overrides + CheckExperiment.
Experiment LoadExperiment(const std::filesystem::path& file,
                          std::span<const std::string> overrides = {});

// One "key.path=value". Throws InputError naming it.
void ApplyOverride(std::string_view text, Experiment& experiment);

}  // namespace sequela
