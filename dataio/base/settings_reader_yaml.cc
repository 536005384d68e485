#include "dataio/base/settings_reader.h"

#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

#include "dataio/base/edit_distance.h"
#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"

namespace sequela {

struct YamlValue::Impl {
  YAML::Node node;
  std::string file;
  std::string path;

  std::shared_ptr<const Impl> Child(const YAML::Node& child, const std::string& name) const {
    return std::make_shared<Impl>(Impl{child, file, path.empty() ? name : path + "." + name});
  }
};

namespace {

std::string Kind(const YAML::Node& node) {
  if (node.IsMap()) return "a map";
  if (node.IsSequence()) return "a list";
  if (node.IsScalar()) return "\"" + node.Scalar() + "\"";
  return "nothing";
}

}  // namespace

std::string NearestOf(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const std::size_t distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

YamlValue YamlValue::Load(const std::filesystem::path& file) {
  if (!PathExists(file)) throw InputError("{}: no such file", file.string());
  try {
    return YamlValue(
        std::make_shared<Impl>(Impl{YAML::LoadFile(file.string()), file.string(), ""}));
  } catch (const YAML::ParserException& error) {
    throw InputError("{}:{}:{}: not valid YAML: {}", file.string(), error.mark.line + 1,
                     error.mark.column + 1, error.msg);
  } catch (const YAML::Exception& error) {
    throw InputError("{}: cannot be read as YAML: {}", file.string(), error.what());
  }
}

std::string YamlValue::Place() const {
  const YAML::Mark mark = impl_->node.Mark();
  return fmt::format("{}:{}:{}{}", impl_->file, mark.line + 1, mark.column + 1,
                     impl_->path.empty() ? "" : fmt::format(": key '{}'", impl_->path));
}

void YamlValue::Fail(const std::string& message) const {
  throw InputError("{}: {}", Place(), message);
}

bool YamlValue::is_map() const { return impl_->node.IsMap(); }
bool YamlValue::is_sequence() const { return impl_->node.IsSequence(); }

std::string YamlValue::AsString() const {
  if (!impl_->node.IsScalar())
    Fail(fmt::format("{} where a string is expected", Kind(impl_->node)));
  return impl_->node.Scalar();
}

std::int64_t YamlValue::AsInteger() const {
  try {
    return impl_->node.as<std::int64_t>();
  } catch (const YAML::Exception&) {
    Fail(fmt::format("{} where a whole number is expected", Kind(impl_->node)));
  }
}

double YamlValue::AsNumber() const {
  try {
    return impl_->node.as<double>();
  } catch (const YAML::Exception&) {
    Fail(fmt::format("{} where a number is expected", Kind(impl_->node)));
  }
}

bool YamlValue::AsBool() const {
  try {
    return impl_->node.as<bool>();
  } catch (const YAML::Exception&) {
    Fail(fmt::format("{} where true or false is expected", Kind(impl_->node)));
  }
}

std::vector<YamlValue> YamlValue::AsSequence() const {
  if (!impl_->node.IsSequence())
    Fail(fmt::format("{} where a list is expected", Kind(impl_->node)));
  std::vector<YamlValue> values;
  for (std::size_t i = 0; i < impl_->node.size(); ++i) {
    values.push_back(YamlValue(impl_->Child(impl_->node[i], std::to_string(i))));
  }
  return values;
}

std::vector<std::pair<std::string, YamlValue>> YamlValue::AsMap() const {
  if (!impl_->node.IsMap()) Fail(fmt::format("{} where a map is expected", Kind(impl_->node)));
  std::vector<std::pair<std::string, YamlValue>> values;
  for (const auto& entry : impl_->node) {
    const auto name = entry.first.as<std::string>();
    values.emplace_back(name, YamlValue(impl_->Child(entry.second, name)));
  }
  return values;
}

std::vector<std::string> YamlValue::AsStrings() const {
  if (impl_->node.IsScalar()) return {AsString()};
  std::vector<std::string> strings;
  for (const YamlValue& value : AsSequence()) strings.push_back(value.AsString());
  return strings;
}

void YamlValue::ReadFields(const Fields& fields) const {
  std::set<std::string> seen;
  if (impl_->node.IsNull()) return;
  for (const auto& [name, value] : AsMap()) {
    if (!seen.insert(name).second) value.Fail("this key stands twice");
    const auto field = fields.find(name);
    if (field != fields.end()) {
      field->second(value);
      continue;
    }
    std::vector<std::string> known;
    for (const auto& entry : fields) known.push_back(entry.first);
    const std::string nearest = NearestOf(name, known);
    value.Fail(nearest.empty() ? fmt::format("unknown key; known are {}", fmt::join(known, ", "))
                               : fmt::format("unknown key; did you mean '{}'?", nearest));
  }
}

std::size_t YamlValue::OneOf(const std::vector<std::string>& choices) const {
  const std::string text = AsString();
  const auto found = std::find(choices.begin(), choices.end(), text);
  if (found == choices.end()) {
    Fail(fmt::format("\"{}\" where one of {} is expected", text, fmt::join(choices, ", ")));
  }
  return static_cast<std::size_t>(found - choices.begin());
}

}  // namespace sequela
