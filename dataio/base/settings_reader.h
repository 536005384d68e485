// Reading YAML into plain structs with messages that help: file:line:column, the key, what was
// found and expected, the nearest known key. Experiments, ingest settings and CSV mappings are all
// read by it; the one file that knows yaml-cpp is settings_reader_yaml.cc. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sequela {

// The known word nearest to `word` by edit distance, or an empty one where none is near.
std::string NearestOf(std::string_view word, const std::vector<std::string>& known);

// Whether a text still holds a template's {{ placeholder }}.
bool HasPlaceholder(std::string_view text);

class YamlValue;

// A key of a settings file: what it is called, what it means (one line of Markdown, for the table in
// the documentation), and how it is read.
struct SettingsField {
  std::string name;
  std::string meaning;
  std::function<void(const YamlValue&)> read;
};
using SettingsFields = std::vector<SettingsField>;

SettingsFields Joined(SettingsFields first, const SettingsFields& second);

// The keys of one kind of map in a settings file.
struct SettingsSection {
  std::string title;
  SettingsFields fields;
};

// For documentation: for each section "TITLE:" and a Markdown table of its fields.
std::string SectionsText(const std::vector<SettingsSection>& sections);

class YamlValue {
 public:
  // Throws InputError: no such file, not UTF-8, no YAML, more than one document.
  static YamlValue Load(const std::filesystem::path& file);
  static YamlValue Parse(std::string_view text, const std::filesystem::path& file_for_messages);

  bool is_map() const;
  bool is_sequence() const;
  bool is_null() const;             // "key:" with nothing after it, or an empty document
  const std::string& path() const;  // "section.key"; empty at the top
  // Each throws InputError naming the place where the value is of another type. No text holds a
  // template's {{ placeholder }}. Numbers are those of number_text.h; a bool is true or false.
  std::string AsString() const;
  std::int64_t AsInteger() const;
  double AsNumber() const;
  bool AsBool() const;
  std::vector<YamlValue> AsSequence() const;
  std::vector<std::pair<std::string, YamlValue>> AsMap() const;  // each key once
  std::vector<std::string> AsStrings() const;  // a sequence of strings, or one string

  // Calls the reader of each key of this map; an unknown key is an error that lists the known ones.
  void ReadFields(const SettingsFields& fields) const;
  // The place in `choices` of this string; an error lists them.
  std::size_t OneOf(const std::vector<std::string>& choices) const;

  // "file:line:column: key 'path'", for messages.
  std::string Place() const;
  [[noreturn]] void Fail(const std::string& message) const;
  [[noreturn]] void FailAtKey(const std::string& message) const;  // at its key, not at the value

 private:
  struct Impl;
  explicit YamlValue(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace sequela
