#include "trainer/experiment/experiment_yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <set>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"
#include "trainer/experiment/experiment_fields.h"

namespace sequela {
namespace {

// Walks one file's tree; `path_` names the section for keys, `seen_` what was given already.
class ExperimentReader {
 public:
  ExperimentReader(std::string file, Experiment& experiment)
      : file_(std::move(file)), experiment_(experiment) {}

  void ReadMapping(const YAML::Node& mapping, const std::string& section) {
    for (const auto& entry : mapping) {
      if (!entry.first.IsScalar()) Refuse(entry.first, "keys must be plain names");
      const std::string path = section + entry.first.Scalar();
      if (!seen_.insert(path).second) {
        Refuse(entry.first, fmt::format("{}: given twice", path));
      }
      ReadEntry(entry.first, entry.second, path);
    }
  }

 private:
  void ReadEntry(const YAML::Node& key, const YAML::Node& value, const std::string& path) {
    const ExperimentField* field = FindField(path);
    if (field == nullptr && IsSection(path)) {
      if (value.IsNull()) return;  // "section:" with nothing below it
      if (!value.IsMap()) {
        Refuse(value, fmt::format("{}: expected indented `key: value` lines", path));
      }
      ReadMapping(value, path + ".");
      return;
    }
    if (field == nullptr) {
      Refuse(key,
             fmt::format("{}: unknown key; the nearest known key is {}", path, NearestField(path)));
    }
    if (!value.IsScalar()) {
      Refuse(value.IsNull() ? key : value, fmt::format("{}: expected one value", path));
    }
    if (const auto fault = SetField(*field, value.Scalar(), experiment_)) {
      Refuse(value, fmt::format("{}: {}", path, *fault));
    }
  }

  static bool IsSection(std::string_view path) {
    for (const ExperimentField& field : ExperimentFields()) {
      if (field.path.size() > path.size() && field.path.starts_with(path) &&
          field.path[path.size()] == '.') {
        return true;
      }
    }
    return false;
  }

  [[noreturn]] void Refuse(const YAML::Node& node, const std::string& message) const {
    const YAML::Mark mark = node.Mark();
    throw InputError("{}:{}:{}: {}", file_, mark.line + 1, mark.column + 1, message);
  }

  std::string file_;
  Experiment& experiment_;
  std::set<std::string> seen_;
};

}  // namespace

Experiment ParseExperiment(std::string_view yaml, const std::filesystem::path& file_for_messages) {
  const std::string file = file_for_messages.string();
  Experiment experiment;
  try {
    const YAML::Node root = YAML::Load(std::string(yaml));
    if (root.IsNull()) return experiment;
    if (!root.IsMap()) {
      throw InputError("{}:1:1: expected sections (data:, model:, ...), found something else",
                       file);
    }
    ExperimentReader(file, experiment).ReadMapping(root, "");
  } catch (const YAML::Exception& error) {
    throw InputError("{}:{}:{}: not valid YAML: {}", file, error.mark.line + 1,
                     error.mark.column + 1, error.msg);
  }
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
    throw InputError("'{}': unknown key {}; the nearest known key is {}", text, path,
                     NearestField(path));
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
