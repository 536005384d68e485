#include "dataio/base/json_fields.h"

#include <fmt/format.h>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

std::string Shown(const nlohmann::json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

nlohmann::json ParseJson(std::string_view text, const std::filesystem::path& file) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: ..."
    std::string_view what = error.what();
    if (const auto end = what.find("] "); end != std::string_view::npos)
      what.remove_prefix(end + 2);
    throw InputError("{}: not valid JSON: {}. The file is damaged: make it anew.", file.string(),
                     what.substr(0, 300));
  }
}

bool JsonField::Has(const char* key) const { return value_->is_object() && value_->contains(key); }

JsonField JsonField::operator[](const char* key) const {
  if (!value_->is_object()) Refuse("an object");
  const auto found = value_->find(key);
  std::string place = place_.empty() ? key : fmt::format("{}.{}", place_, key);
  if (found == value_->end()) {
    throw InputError("{}: {}: missing. The file is damaged or of another format.", file_, place);
  }
  return {&*found, file_, std::move(place)};
}

JsonField JsonField::operator[](std::size_t index) const {
  if (index >= ArraySize()) {
    throw InputError("{}: {}: has {} elements, expected at least {}", file_, place_, ArraySize(),
                     index + 1);
  }
  return {&(*value_)[index], file_, fmt::format("{}[{}]", place_, index)};
}

std::size_t JsonField::ArraySize() const {
  if (!value_->is_array()) Refuse("an array");
  return value_->size();
}

std::int64_t JsonField::Integer(std::int64_t lowest, std::int64_t highest) const {
  const bool fits =
      value_->is_number_integer() &&
      (!value_->is_number_unsigned() || value_->get<std::uint64_t>() <= std::uint64_t{INT64_MAX});
  if (!fits || value_->get<std::int64_t>() < lowest || value_->get<std::int64_t>() > highest) {
    Refuse(fmt::format("an integer from {} to {}", lowest, highest));
  }
  return value_->get<std::int64_t>();
}

double JsonField::Number() const {
  if (!value_->is_number()) Refuse("a number");
  return value_->get<double>();
}

const std::string& JsonField::String() const {
  if (!value_->is_string()) Refuse("a string");
  return value_->get_ref<const std::string&>();
}

bool JsonField::Bool() const {
  if (!value_->is_boolean()) Refuse("true or false");
  return value_->get<bool>();
}

const nlohmann::json& JsonField::Object() const {
  if (!value_->is_object()) Refuse("an object");
  return *value_;
}

void JsonField::Refuse(std::string_view expected) const {
  throw InputError("{}: {}: found {}, expected {}", file_, place_.empty() ? "the whole" : place_,
                   Shown(*value_), expected);
}

}  // namespace sequela
