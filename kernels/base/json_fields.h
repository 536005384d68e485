// Values of JSON that somebody else may have written: every surprise is an InputError that names the
// file, the place in it, what was found and what was expected. Parsing is json_text.h's. Header only
// like it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "kernels/base/errors.h"

namespace sequela {

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

  std::string Shown() const;

  const nlohmann::json* value_;
  std::string_view file_;
  std::string place_;
};

inline std::string JsonField::Shown() const {
  if (value_->is_object()) return "an object";
  if (value_->is_array()) return "an array";
  std::string text = value_->dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

inline bool JsonField::Has(const char* key) const {
  return value_->is_object() && value_->contains(key);
}

inline JsonField JsonField::operator[](const char* key) const {
  if (!value_->is_object()) Refuse("an object");
  const auto found = value_->find(key);
  std::string place = place_.empty() ? key : fmt::format("{}.{}", place_, key);
  if (found == value_->end()) {
    throw InputError("{}: {}: missing. The file is damaged or of another format.", file_, place);
  }
  return {&*found, file_, std::move(place)};
}

inline JsonField JsonField::operator[](std::size_t index) const {
  if (index >= ArraySize()) {
    throw InputError("{}: {}: has {} elements, expected at least {}", file_, place_, ArraySize(),
                     index + 1);
  }
  return {&(*value_)[index], file_, fmt::format("{}[{}]", place_, index)};
}

inline std::size_t JsonField::ArraySize() const {
  if (!value_->is_array()) Refuse("an array");
  return value_->size();
}

inline std::int64_t JsonField::Integer(std::int64_t lowest, std::int64_t highest) const {
  const bool fits =
      value_->is_number_integer() &&
      (!value_->is_number_unsigned() || value_->get<std::uint64_t>() <= std::uint64_t{INT64_MAX});
  if (!fits || value_->get<std::int64_t>() < lowest || value_->get<std::int64_t>() > highest) {
    Refuse(fmt::format("an integer from {} to {}", lowest, highest));
  }
  return value_->get<std::int64_t>();
}

inline double JsonField::Number() const {
  if (!value_->is_number()) Refuse("a number");
  return value_->get<double>();
}

inline const std::string& JsonField::String() const {
  if (!value_->is_string()) Refuse("a string");
  return value_->get_ref<const std::string&>();
}

inline bool JsonField::Bool() const {
  if (!value_->is_boolean()) Refuse("true or false");
  return value_->get<bool>();
}

inline const nlohmann::json& JsonField::Object() const {
  if (!value_->is_object()) Refuse("an object");
  return *value_;
}

inline void JsonField::Refuse(std::string_view expected) const {
  throw InputError("{}: {}: found {}, expected {}", file_, place_.empty() ? "the whole" : place_,
                   Shown(), expected);
}

}  // namespace sequela
