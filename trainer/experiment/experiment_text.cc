// Fields as text: values to and from YAML scalars, the whole experiment, and the documentation
// page.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "dataio/base/number_text.h"
#include "dataio/base/settings_reader.h"
#include "dataio/base/utf8.h"
#include "trainer/experiment/experiment_fields.h"

namespace sequela {
namespace {

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

// YAML's double-quoted form; plain where nothing in it could be read as anything but text.
std::string Quoted(const std::string& text) {
  const bool plain = !text.empty() && std::isalpha(static_cast<unsigned char>(text[0])) != 0 &&
                     text.find_first_not_of(
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                         "0123456789_-./") == std::string::npos;
  if (plain) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

bool IsWhole(const FieldRef& ref) {
  return std::holds_alternative<std::int32_t*>(ref) || std::holds_alternative<std::int64_t*>(ref) ||
         std::holds_alternative<std::uint64_t*>(ref);
}

std::string NumberText(double number) { return fmt::format("{}", number); }

std::string Expected(const ExperimentField& field, const FieldRef& ref) {
  if (std::holds_alternative<bool*>(ref)) return "true or false";
  if (std::holds_alternative<std::string*>(ref)) return "text";
  if (std::holds_alternative<ChoiceRef>(ref)) {
    return fmt::format("one of {}", fmt::join(field.choices, ", "));
  }
  std::string text = IsWhole(ref) ? "a whole number" : "a number";
  text += fmt::format("{}{}", field.open_minimum ? " above " : " of at least ",
                      NumberText(field.minimum));
  if (std::isfinite(field.maximum)) {
    text += fmt::format("{}{}", field.open_maximum ? " and below " : " and at most ",
                        NumberText(field.maximum));
  }
  return text;
}

template <typename Number>
bool ParseNumber(std::string_view text, const ExperimentField& field, Number& result) {
  const auto number = NumberFromText<Number>(text);
  if (!number) return false;
  const auto value = static_cast<double>(*number);
  const bool inside = (field.open_minimum ? value > field.minimum : value >= field.minimum) &&
                      (field.open_maximum ? value < field.maximum : value <= field.maximum);
  if (!inside) return false;
  result = *number;
  return true;
}

std::string_view SectionOf(std::string_view path) {
  const std::size_t dot = path.find('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot);
}

std::string_view NameOf(FieldGroup group) {
  switch (group) {
    case FieldGroup::kResult:
      return "results";
    case FieldGroup::kSpeed:
      return "speed";
    case FieldGroup::kPlace:
      return "place";
  }
  return "";
}

}  // namespace

std::string FieldText(const ExperimentField& field, const Experiment& experiment) {
  Experiment copy = experiment;  // the table's accessor is made for writing
  return std::visit(
      Overloaded{[](bool* value) -> std::string { return *value ? "true" : "false"; },
                 [](std::string* value) { return Quoted(*value); },
                 [&](ChoiceRef choice) { return std::string(field.choices.at(*choice.index)); },
                 [](double* value) { return NumberText(*value); },
                 [](auto* value) { return std::to_string(*value); }},
      field.get(copy));
}

std::optional<std::string> SetField(const ExperimentField& field, std::string_view text,
                                    Experiment& experiment) {
  const FieldRef ref = field.get(experiment);
  if (!IsUtf8(text)) return "found bytes that are not UTF-8; the run's files can hold no others";
  if (HasPlaceholder(text)) {
    return fmt::format("found '{}', a template's placeholder; write the value itself", text);
  }
  const bool good = std::visit(
      Overloaded{[&](bool* value) {
                   if (text == "true" || text == "false") *value = text == "true";
                   return text == "true" || text == "false";
                 },
                 [&](std::string* value) {
                   *value = text;
                   return true;
                 },
                 [&](ChoiceRef choice) {
                   const auto found = std::ranges::find(field.choices, text);
                   if (found == field.choices.end()) return false;
                   *choice.index = static_cast<unsigned char>(found - field.choices.begin());
                   return true;
                 },
                 [&](auto* value) { return ParseNumber(text, field, *value); }},
      ref);
  if (good) return std::nullopt;
  return fmt::format("found '{}', expected {}", text, Expected(field, ref));
}

std::string ExperimentToYaml(const Experiment& experiment) {
  std::string yaml;
  std::string_view section;
  for (const ExperimentField& field : ExperimentFields()) {
    const std::string_view next = SectionOf(field.path);
    if (next != section) {
      section = next;
      yaml += fmt::format("\n{}:\n", section);
    }
    const std::string_view key = field.path.substr(field.path.find('.') + 1);
    yaml +=
        fmt::format("{}{}: {}\n", section.empty() ? "" : "  ", key, FieldText(field, experiment));
  }
  return yaml;
}

std::string ExperimentFieldsPage() {
  std::string page =
      "# The experiment file, field by field\n\n"
      "Made by `sequela train --document-fields` from the program's own table; do not edit.\n\n"
      "An experiment is a YAML file of the sections below; `key.path=value` on the command line\n"
      "overrides a field, `sequela train FILE --print-config` prints all of them as resolved.\n"
      "Fields that change *results* are part of the result hash and must stay as they are when a\n"
      "run is resumed; those that change only *speed* may differ at every start; a *place* may\n"
      "move as long as what lies there stays the same.\n";
  std::string_view section = "none";
  Experiment defaults;
  for (const ExperimentField& field : ExperimentFields()) {
    if (SectionOf(field.path) != section) {
      section = SectionOf(field.path);
      page += section.empty() ? "\n" : fmt::format("\n## {}\n\n", section);
      page += "| field | default | takes | changes | meaning |\n|---|---|---|---|---|\n";
    }
    page += fmt::format("| `{}` | `{}` | {} | {} | {} |\n", field.path, FieldText(field, defaults),
                        Expected(field, field.get(defaults)), NameOf(field.group), field.meaning);
  }
  return page;
}

}  // namespace sequela
