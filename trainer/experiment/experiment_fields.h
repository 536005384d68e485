// The one table of an experiment's fields. From it come YAML reading and its errors, overrides,
// --print-config, docs/experiment-fields.md, the result hash and the comparison at a resume.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "trainer/experiment/experiment.h"

namespace sequela {

// What a field may change. Results: anything that alters a bit of the losses; a resume must keep
// it. Speed: how fast and where. Place: data.store, which may move as long as its content does not.
enum class FieldGroup : std::uint8_t { kResult, kSpeed, kPlace };

// One of several names; `index` is the enum's value (all are std::uint8_t).
struct ChoiceRef {
  unsigned char* index;
};
using FieldRef = std::variant<bool*, std::int32_t*, std::int64_t*, std::uint64_t*, double*,
                              std::string*, ChoiceRef>;

struct ExperimentField {
  std::string_view path;  // "section.key", or "seed"
  FieldGroup group;
  std::string_view meaning;
  FieldRef (*get)(Experiment&);
  double minimum = 0.0;  // of numbers; excluded where open_minimum
  double maximum = 0.0;
  bool open_minimum = false;
  bool open_maximum = false;
  std::vector<std::string_view> choices = {};
};

const std::vector<ExperimentField>& ExperimentFields();
const ExperimentField* FindField(std::string_view path);  // nullptr where there is none
bool IsSection(std::string_view path);                    // "model", not "model.hidden_size"
std::string_view NearestField(std::string_view path);     // for "did you mean"

// The field's value as YAML text that reads back to the same value.
std::string FieldText(const ExperimentField& field, const Experiment& experiment);
// Sets the field; returns what is wrong with `text` ("expected ..., found ..."), or nothing.
std::optional<std::string> SetField(const ExperimentField& field, std::string_view text,
                                    Experiment& experiment);

// All fields by section: `sequela train --print-config`, and RUN/experiment.yaml.
std::string ExperimentToYaml(const Experiment& experiment);
// docs/experiment-fields.md.
std::string ExperimentFieldsPage();

// 16 hex digits over every result field and what names the store's content.
std::string ResultHash(const Experiment& experiment, std::string_view store_content_hash);

// What a resume at `step` changes against the run's own experiment: throws InputError naming the
// first result field that differs, with both values. schedule.steps may grow where the decay is
// constant and its cool-down has not begun.
void CheckResumable(const Experiment& old_experiment, const Experiment& new_experiment,
                    std::int64_t step);

}  // namespace sequela
