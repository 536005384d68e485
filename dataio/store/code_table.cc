#include "dataio/store/code_table.h"

#include <nlohmann/json.hpp>

#include "kernels/base/errors.h"
#include "kernels/base/json_fields.h"
#include "kernels/base/json_text.h"

namespace sequela {
namespace {

using Json = nlohmann::ordered_json;

CodeEntry ParseCode(const JsonField& field, std::int32_t vocabulary_size) {
  CodeEntry entry;
  entry.code = field["code"].String();
  if (field.Has("description")) entry.description = field["description"].String();
  if (field.Has("parent_codes")) {
    const JsonField parents = field["parent_codes"];
    for (std::size_t i = 0; i < parents.ArraySize(); ++i) {
      entry.parent_codes.push_back(parents[i].String());
    }
  }
  entry.train_events = field["train_events"].Integer(0, INT64_MAX);
  entry.train_subjects = field["train_subjects"].Integer(0, INT64_MAX);
  entry.token = static_cast<std::int32_t>(field["token"].Integer(0, vocabulary_size - 1));
  return entry;
}

}  // namespace

std::string CodesToJson(const std::vector<CodeEntry>& codes) {
  std::string text =
      "{\n\"format\": \"sequela.codes\",\n\"format_version\": \"1.0\",\n\"codes\": [";
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const CodeEntry& code = codes[i];
    Json object = {{"code", code.code}};
    if (!code.description.empty()) object["description"] = code.description;
    if (!code.parent_codes.empty()) object["parent_codes"] = code.parent_codes;
    object["train_events"] = code.train_events;
    object["train_subjects"] = code.train_subjects;
    object["token"] = code.token;
    text += i == 0 ? "\n" : ",\n";
    try {
      text += object.dump();
    } catch (const nlohmann::json::exception&) {
      throw InputError("code {} of the store: its code or description is not UTF-8", i);
    }
  }
  return text + "\n]\n}\n";
}

std::vector<CodeEntry> CodesFromJson(std::string_view json, const std::filesystem::path& file,
                                     std::int32_t vocabulary_size) {
  const nlohmann::json document = ParseJsonText(json, file);
  const std::string name = file.string();
  const JsonField root(document, name);
  if (root["format"].String() != "sequela.codes") root["format"].Refuse("\"sequela.codes\"");
  if (!root["format_version"].String().starts_with("1.")) {
    root["format_version"].Refuse("version 1.x, the one that this program knows");
  }
  const JsonField list = root["codes"];
  std::vector<CodeEntry> codes;
  for (std::size_t i = 0; i < list.ArraySize(); ++i) {
    codes.push_back(ParseCode(list[i], vocabulary_size));
  }
  return codes;
}

}  // namespace sequela
