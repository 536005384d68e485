#include "dataio/base/settings_reader.h"

#include <fmt/ranges.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "dataio/base/edit_distance.h"
#include "dataio/base/number_text.h"
#include "dataio/base/text_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"

namespace sequela {

struct YamlValue::Impl {
  YAML::Node node;
  std::string file;
  std::string path;
  YAML::Mark key;  // where its key stands; of an entry of a list, the entry itself

  std::shared_ptr<const Impl> Child(const YAML::Node& child, const std::string& name,
                                    const YAML::Mark& place) const {
    return std::make_shared<Impl>(
        Impl{child, file, path.empty() ? name : path + "." + name, place});
  }
  // An empty value has no place of its own.
  YAML::Mark Where() const { return node.IsNull() ? key : node.Mark(); }
};

namespace {

constexpr std::string_view kPlaceholder =
    "a placeholder {{ }} of a template that was not filled in; write the value itself";

// What YAML makes of {{ name }}: a map whose key is a map.
bool IsPlaceholder(const YAML::Node& node) {
  if (!node.IsMap()) return false;
  return std::any_of(node.begin(), node.end(),
                     [](const auto& entry) { return entry.first.IsMap(); });
}

std::string_view LineOf(std::string_view text, int line) {
  for (; line > 0; --line) {
    const std::size_t end = text.find('\n');
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return text.substr(0, text.find('\n'));
}

std::string PlaceIn(const std::string& file, const YAML::Mark& mark) {
  return fmt::format("{}:{}:{}", file, mark.line + 1, mark.column + 1);
}

// Where the document that was read last begins.
class DocumentBegin : public YAML::EventHandler {
 public:
  const YAML::Mark& mark() const { return mark_; }
  void OnDocumentStart(const YAML::Mark& mark) override { mark_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

 private:
  YAML::Mark mark_ = YAML::Mark::null_mark();
};

// YAML::LoadAll never ends where a comma or a closing bracket follows a value: the parser takes what
// is there for an empty document, again and again, and does not go on. Throws YAML::ParserException
// for that.
int CountDocuments(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentBegin begin;
  int documents = 0;
  for (int before = -1; parser.HandleNextDocument(begin); before = begin.mark().pos) {
    if (begin.mark().pos == before) {
      throw YAML::ParserException(begin.mark(), "this does not belong to the value before it");
    }
    ++documents;
  }
  return documents;
}

YAML::Node ParseDocument(std::string_view view, const std::string& file) {
  const std::string text(view);
  try {
    const int documents = CountDocuments(text);
    if (documents > 1) {
      throw InputError(
          "{}: {} YAML documents, parted by a line --- or ..., where one is expected. Leave one of "
          "them in this file.",
          file, documents);
    }
    return YAML::Load(text);
  } catch (const YAML::ParserException& error) {
    const std::string_view line = LineOf(text, error.mark.line);
    const bool is_template = HasPlaceholder(line) || line.find("{%") != std::string_view::npos;
    throw InputError("{}: not valid YAML: {}{}", PlaceIn(file, error.mark), error.msg,
                     is_template ? fmt::format(" (this line has {})", kPlaceholder) : "");
  } catch (const YAML::Exception& error) {
    throw InputError("{}: cannot be read as YAML: {}", file, error.what());
  }
}

std::string Kind(const YAML::Node& node) {
  if (IsPlaceholder(node)) return std::string(kPlaceholder);
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

bool HasPlaceholder(std::string_view text) {
  const std::size_t open = text.find("{{");
  return open != std::string_view::npos && text.find("}}", open) != std::string_view::npos;
}

YamlValue YamlValue::Parse(std::string_view text, const std::filesystem::path& file) {
  return YamlValue(std::make_shared<Impl>(
      Impl{ParseDocument(TextWithoutMark(text, file), file.string()), file.string(), "", {}}));
}

YamlValue YamlValue::Load(const std::filesystem::path& file) {
  if (!PathExists(file)) throw InputError("{}: no such file", file.string());
  return Parse(ReadTextFile(file), file);
}

std::string YamlValue::Place() const {
  return PlaceIn(impl_->file, impl_->Where()) +
         (impl_->path.empty() ? "" : fmt::format(": key '{}'", impl_->path));
}

void YamlValue::Fail(const std::string& message) const {
  throw InputError("{}: {}", Place(), message);
}

void YamlValue::FailAtKey(const std::string& message) const {
  throw InputError("{}: key '{}': {}", PlaceIn(impl_->file, impl_->key), impl_->path, message);
}

bool YamlValue::is_map() const { return impl_->node.IsMap(); }
bool YamlValue::is_sequence() const { return impl_->node.IsSequence(); }
bool YamlValue::is_null() const { return impl_->node.IsNull(); }
const std::string& YamlValue::path() const { return impl_->path; }

std::string YamlValue::AsString() const {
  if (!impl_->node.IsScalar()) {
    Fail(fmt::format("found {}{}", Kind(impl_->node),
                     IsPlaceholder(impl_->node) ? "" : ", expected one value"));
  }
  const std::string& text = impl_->node.Scalar();
  if (HasPlaceholder(text)) Fail(fmt::format("found '{}', {}", text, kPlaceholder));
  return text;
}

std::int64_t YamlValue::AsInteger() const {
  const auto number = NumberFromText<std::int64_t>(AsString());
  if (!number) Fail(fmt::format("{} where a whole number is expected", Kind(impl_->node)));
  return *number;
}

double YamlValue::AsNumber() const {
  const auto number = NumberFromText<double>(AsString());
  if (!number) Fail(fmt::format("{} where a (finite) number is expected", Kind(impl_->node)));
  return *number;
}

bool YamlValue::AsBool() const {
  const std::string text = AsString();
  if (text != "true" && text != "false") {
    Fail(fmt::format("\"{}\" where true or false is expected", text));
  }
  return text == "true";
}

std::vector<YamlValue> YamlValue::AsSequence() const {
  if (!impl_->node.IsSequence()) {
    Fail(fmt::format("{} where a list is expected", Kind(impl_->node)));
  }
  std::vector<YamlValue> values;
  for (std::size_t i = 0; i < impl_->node.size(); ++i) {
    const YAML::Node child = impl_->node[i];
    values.push_back(YamlValue(impl_->Child(child, std::to_string(i), child.Mark())));
  }
  return values;
}

std::vector<std::pair<std::string, YamlValue>> YamlValue::AsMap() const {
  if (!impl_->node.IsMap()) Fail(fmt::format("{} where a map is expected", Kind(impl_->node)));
  if (IsPlaceholder(impl_->node)) Fail(fmt::format("found {}", kPlaceholder));
  std::vector<std::pair<std::string, YamlValue>> values;
  std::set<std::string> seen;
  for (const auto& entry : impl_->node) {
    if (!entry.first.IsScalar()) Fail("its keys must be plain names");
    const std::string& name = entry.first.Scalar();
    const YamlValue value(impl_->Child(entry.second, name, entry.first.Mark()));
    if (!seen.insert(name).second) value.FailAtKey("this key is given twice");
    values.emplace_back(name, value);
  }
  return values;
}

std::vector<std::string> YamlValue::AsStrings() const {
  if (impl_->node.IsScalar()) return {AsString()};
  std::vector<std::string> strings;
  for (const YamlValue& value : AsSequence()) strings.push_back(value.AsString());
  return strings;
}

void YamlValue::ReadFields(const SettingsFields& fields) const {
  if (impl_->node.IsNull()) return;
  for (const auto& entry : AsMap()) {
    const std::string& name = entry.first;
    const YamlValue& value = entry.second;
    const auto field = std::find_if(fields.begin(), fields.end(),
                                    [&](const SettingsField& one) { return one.name == name; });
    if (field != fields.end()) {
      field->read(value);
      continue;
    }
    std::vector<std::string> known;
    for (const SettingsField& one : fields) known.push_back(one.name);
    std::sort(known.begin(), known.end());
    const std::string nearest = NearestOf(name, known);
    value.FailAtKey(fmt::format("unknown key{}; known are {}",
                                nearest.empty() ? "" : fmt::format(", did you mean '{}'?", nearest),
                                fmt::join(known, ", ")));
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
