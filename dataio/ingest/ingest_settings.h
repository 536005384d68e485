// How events become tokens: the settings of `sequela ingest --config FILE` (docs/records.md),
// written whole into the store's manifest under "tokenization". All of them change results. Plain
// data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "dataio/base/settings_reader.h"

namespace sequela {

// Codes of a coding system and how they are shortened when rare: `pattern` (PCRE2) captures what
// stands before the code (group 1) and the code (group 2), which is cut to each length in turn.
struct TruncationRule {
  std::string pattern;
  std::vector<int> lengths;
};

// Numeric values of the codes that match `pattern` (PCRE2): multiplied by `factor` as they are
// read; those outside [minimum, maximum] are counted and get no value token.
struct ValueRule {
  std::string pattern;
  double factor = 1.0;
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
};

struct IngestSettings {
  enum class Order : std::uint8_t { kCanonical, kSource };
  enum class Keep : std::uint8_t { kKeep, kDrop };
  enum class DateOnly : std::uint8_t { kReport, kEndOfDay };
  enum class ValueTokens : std::uint8_t { kJoint, kSeparate, kNone };

  // Order of events that share a time stamp. Canonical: birth, admissions, others, discharges,
  // death; then code, value, text. Source: the order of the rows (needs each subject in one file).
  Order order = Order::kCanonical;
  Keep after_death = Keep::kDrop;
  Keep before_birth = Keep::kKeep;
  Keep duplicates = Keep::kKeep;
  // Codes of which 95 % of at least 20 events fall on 00:00:00: reported, or placed at their day's
  // end.
  DateOnly date_only = DateOnly::kReport;
  // Columns beside MEDS's own: joined to the code ("code//part", after code_modifier_columns); made
  // events of their own at the row's time ("route//oral"; for numbers "dose" with its value); the
  // row's stay (integers, kept as /chain/stay). Each must be in some file.
  std::vector<std::string> code_columns;
  std::vector<std::string> event_columns;
  std::string stay_column;  // empty: none
  // Facts without a time that open every window; all others are dropped and counted.
  std::vector<std::string> static_codes = {"(?i)^(MEDS_BIRTH|GENDER|SEX|RACE|ETHNICITY)(//|$)"};

  // Joint: a token for code and bin, "LAB//K//Q7". Separate: the code's token, then "Q7", which
  // all codes share; each code has its own bins all the same.
  ValueTokens value_tokens = ValueTokens::kJoint;
  int value_bins = 10;
  std::vector<ValueRule> values;
  bool text_results = true;
  int text_result_max_bytes = 32;  // longer texts are free text: never tokens

  // A token stands for something seen in at least so many train subjects; 0: the smaller of 10 and
  // an eighth of the train subjects.
  int min_subjects = 0;
  // Codes (PCRE2) that have their token however rare they are.
  std::vector<std::string> keep_codes = {"^MEDS_(BIRTH|DEATH)$"};
  bool parent_fallback = true;
  std::vector<TruncationRule> truncations = {
      {"(?i)^(.*ICD(?://)?(?:9|10)?(?:CM|PCS|PROC)?(?://|/))([A-Z0-9.]{4,})$", {3}},
      {"(?i)^(.*ATC(?://|/))([A-Z][A-Z0-9]{2,6})$", {5, 4, 3, 1}}};

  bool gap_tokens = true;
  // Lower edges in seconds of the gap bins, ascending; the first is 0.
  std::vector<std::int64_t> gap_edges_seconds = {
      0,        60,       300,      900,       3600,      7200,      21600,      43200,
      86400,    172800,   345600,   604800,    1209600,   2629800,   5259600,    7889400,
      15778800, 31557600, 63115200, 157788000, 315576000, 631152000, 1262304000, 3155760000};
  int age_bin_years = 5;  // 0: no age tokens
};

// Throws InputError with file:line:column, the key and the nearest known key.
IngestSettings LoadIngestSettings(const std::filesystem::path& yaml_file);

// All keys of the file with their meanings and defaults. Their `read` is not to be called.
std::vector<SettingsSection> IngestSettingsSections();

// A JSON object with every setting, and back (for --vocabulary). The same text for the same
// settings.
std::string ToJson(const IngestSettings& settings);
IngestSettings IngestSettingsFromJson(std::string_view json);

}  // namespace sequela
