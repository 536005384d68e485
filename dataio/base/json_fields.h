// Reading JSON that somebody else may have written: every surprise is an InputError that names the
// file, the place in it, what was found and what was expected.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace sequela {

// Throws InputError naming the file, line and column of the first fault.
nlohmann::json ParseJson(std::string_view text, const std::filesystem::path& file);

// A value and where it stands ("vocabulary.json: tokens[3].kind"). A view: the document and the
// text of `file` outlive it.
class JsonField {
 public:
  JsonField(const nlohmann::json& root, std::string_view file) : value_(&root), file_(file) {}

  bool Has(const char* key) const;              // REQUIRES nothing: false where this is no object
  JsonField operator[](const char* key) const;  // throws where the key is missing
  JsonField operator[](std::size_t index) const;
  std::size_t ArraySize() const;  // throws where this is no array

  std::int64_t Integer(std::int64_t lowest, std::int64_t highest) const;
  double Number() const;
  const std::string& String() const;
  bool Bool() const;
  bool IsNull() const { return value_->is_null(); }
  const nlohmann::json& Object() const;

  // Throws InputError "<file>: <place>: found <this value>, expected <expected>".
  [[noreturn]] void Refuse(std::string_view expected) const;
  const std::string& place() const { return place_; }

 private:
  JsonField(const nlohmann::json* value, std::string_view file, std::string place)
      : value_(value), file_(file), place_(std::move(place)) {}

  const nlohmann::json* value_;
  std::string_view file_;
  std::string place_;
};

}  // namespace sequela
