// Reading YAML into plain structs with messages that help: file:line:column, the key, what was
// found and expected, the nearest known key. The one file that knows yaml-cpp is
// settings_reader_yaml.cc. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sequela {

// The known word nearest to `word` by edit distance, or an empty one where none is near.
std::string NearestOf(std::string_view word, const std::vector<std::string>& known);

class YamlValue {
 public:
  // Throws InputError (no such file, no YAML).
  static YamlValue Load(const std::filesystem::path& file);

  bool is_map() const;
  bool is_sequence() const;
  // Each throws InputError naming the place where the value is of another type.
  std::string AsString() const;
  std::int64_t AsInteger() const;
  double AsNumber() const;
  bool AsBool() const;
  std::vector<YamlValue> AsSequence() const;
  std::vector<std::pair<std::string, YamlValue>> AsMap() const;
  std::vector<std::string> AsStrings() const;  // a sequence of strings, or one string

  // Calls the reader of each key of this map; unknown keys and repeated keys are errors.
  using Fields = std::map<std::string, std::function<void(const YamlValue&)>>;
  void ReadFields(const Fields& fields) const;
  // The place in `choices` of this string; an error lists them.
  std::size_t OneOf(const std::vector<std::string>& choices) const;

  // "file:line:column: key 'path'", for messages.
  std::string Place() const;
  [[noreturn]] void Fail(const std::string& message) const;

 private:
  struct Impl;
  explicit YamlValue(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace sequela
