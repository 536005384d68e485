#include "trainer/experiment/experiment_yaml.h"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "dataio/base/settings_reader.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"
#include "trainer/experiment/common_names.h"
#include "trainer/experiment/experiment_fields.h"

namespace sequela {
namespace {

void ReadSection(const YamlValue& section, Experiment& experiment);

void ReadEntry(const YamlValue& value, Experiment& experiment) {
  const std::string& path = value.path();
  const ExperimentField* field = FindField(path);
  if (field == nullptr && IsSection(path)) {
    if (value.is_null()) return;  // "section:" with nothing below it
    if (!value.is_map()) value.Fail("expected indented `key: value` lines");
    ReadSection(value, experiment);
    return;
  }
  if (field == nullptr) value.FailAtKey(UnknownKeyAdvice(path));
  if (const auto fault = SetField(*field, value.AsString(), experiment)) value.Fail(*fault);
}

void ReadSection(const YamlValue& section, Experiment& experiment) {
  for (const auto& [name, value] : section.AsMap()) ReadEntry(value, experiment);
}

}  // namespace

Experiment ParseExperiment(std::string_view yaml, const std::filesystem::path& file_for_messages) {
  Experiment experiment;
  const YamlValue root = YamlValue::Parse(yaml, file_for_messages);
  if (root.is_null()) return experiment;
  if (!root.is_map()) {
    root.Fail("expected sections (data:, model:, ...), found something else");
  }
  ReadSection(root, experiment);
  return experiment;
}

void ApplyOverride(std::string_view text, Experiment& experiment) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    throw InputError("'{}': expected key.path=value, for example optimizer.learning_rate=3e-4",
                     text);
  }
  const std::string_view path = text.substr(0, equals);
  const ExperimentField* field = FindField(path);
  if (field == nullptr) {
    throw InputError("'{}': key '{}': {}", text, path, UnknownKeyAdvice(path));
  }
  if (const auto fault = SetField(*field, text.substr(equals + 1), experiment)) {
    throw InputError("'{}': {}: {}", text, path, *fault);
  }
}

Experiment LoadExperiment(const std::filesystem::path& file,
                          std::span<const std::string> overrides) {
  Experiment experiment = ParseExperiment(ReadFile(file), file);
  for (const std::string& text : overrides) ApplyOverride(text, experiment);
  // Shells leave ~ as it is inside key=value.
  experiment.data.store = ExpandHome(experiment.data.store);
  experiment.run.folder = ExpandHome(experiment.run.folder);
  CheckExperiment(experiment);
  return experiment;
}

}  // namespace sequela
