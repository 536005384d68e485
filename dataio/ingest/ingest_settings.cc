#include "dataio/ingest/ingest_settings.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "dataio/base/duration.h"
#include "dataio/base/pattern.h"
#include "dataio/base/settings_reader.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"

namespace sequela {
namespace {

using Json = nlohmann::ordered_json;

const std::vector<std::string> kOrders = {"canonical", "source"};
const std::vector<std::string> kKeeps = {"keep", "drop"};
const std::vector<std::string> kDateOnly = {"report", "end_of_day"};
const std::vector<std::string> kValueTokens = {"joint", "separate", "none"};

int ReadInt(const YamlValue& value, std::int64_t low, std::int64_t high) {
  const std::int64_t number = value.AsInteger();
  if (number < low || number > high) {
    value.Fail(fmt::format("{} is outside {} .. {}", number, low, high));
  }
  return static_cast<int>(number);
}

std::vector<std::string> ReadPatterns(const YamlValue& value) {
  std::vector<std::string> patterns = value.AsStrings();
  for (const std::string& pattern : patterns) static_cast<void>(Pattern(pattern));
  return patterns;
}

std::string ReadPattern(const YamlValue& value) {
  std::string pattern = value.AsString();
  static_cast<void>(Pattern(pattern));
  return pattern;
}

std::vector<ValueRule> ReadValueRules(const YamlValue& value) {
  std::vector<ValueRule> rules;
  for (const YamlValue& entry : value.AsSequence()) {
    ValueRule rule;
    entry.ReadFields({{"code", [&](const YamlValue& v) { rule.pattern = ReadPattern(v); }},
                      {"factor", [&](const YamlValue& v) { rule.factor = v.AsNumber(); }},
                      {"minimum", [&](const YamlValue& v) { rule.minimum = v.AsNumber(); }},
                      {"maximum", [&](const YamlValue& v) { rule.maximum = v.AsNumber(); }}});
    if (rule.pattern.empty()) entry.Fail("no 'code': which codes is this for?");
    if (!(rule.minimum <= rule.maximum)) entry.Fail("minimum above maximum");
    rules.push_back(rule);
  }
  return rules;
}

std::vector<TruncationRule> ReadTruncations(const YamlValue& value) {
  std::vector<TruncationRule> rules;
  for (const YamlValue& entry : value.AsSequence()) {
    TruncationRule rule;
    entry.ReadFields({{"code", [&](const YamlValue& v) { rule.pattern = ReadPattern(v); }},
                      {"lengths", [&](const YamlValue& v) {
                         for (const YamlValue& n : v.AsSequence()) {
                           rule.lengths.push_back(ReadInt(n, 1, 100));
                         }
                       }}});
    if (rule.pattern.empty() || rule.lengths.empty()) entry.Fail("needs 'code' and 'lengths'");
    rules.push_back(rule);
  }
  return rules;
}

std::vector<std::int64_t> ReadEdges(const YamlValue& value) {
  std::vector<std::int64_t> edges = {0};
  for (const YamlValue& entry : value.AsSequence()) {
    const std::int64_t seconds = ParseDuration(entry.AsString());
    if (seconds < 0) entry.Fail("no duration; write 30s, 5min, 2h, 1d, 3mo or 10y");
    if (seconds == 0 && edges.size() == 1) continue;
    if (seconds <= edges.back()) entry.Fail("the edges must ascend");
    edges.push_back(seconds);
  }
  return edges;
}

template <typename Enum>
Enum ReadChoice(const YamlValue& value, const std::vector<std::string>& choices) {
  return static_cast<Enum>(value.OneOf(choices));
}

template <typename Enum>
std::string Name(Enum value, const std::vector<std::string>& choices) {
  return choices[static_cast<std::size_t>(value)];
}

template <typename Enum>
Enum Choice(const Json& json, const std::vector<std::string>& choices) {
  const auto text = json.get<std::string>();
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (choices[i] == text) return static_cast<Enum>(i);
  }
  throw InputError("the store's tokenization settings say \"{}\", which this version does not know",
                   text);
}

// nlohmann converts any number to any other type, whether it fits or not.
std::int64_t Whole(const Json& json, std::int64_t low, std::int64_t high) {
  const bool fits =
      json.is_number_integer() &&
      (!json.is_number_unsigned() || json.get<std::uint64_t>() <= std::uint64_t{INT64_MAX});
  if (!fits || json.get<std::int64_t>() < low || json.get<std::int64_t>() > high) {
    throw InputError(
        "the store's tokenization settings hold a number that is no whole one from {} to {}", low,
        high);
  }
  return json.get<std::int64_t>();
}

int WholeInt(const Json& json, int low, int high) {
  return static_cast<int>(Whole(json, low, high));
}

Json Bound(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

IngestSettings LoadIngestSettings(const std::filesystem::path& yaml_file) {
  IngestSettings s;
  using Keep = IngestSettings::Keep;
  YamlValue::Load(yaml_file).ReadFields({
      {"order",
       [&](const YamlValue& v) { s.order = ReadChoice<IngestSettings::Order>(v, kOrders); }},
      {"after_death", [&](const YamlValue& v) { s.after_death = ReadChoice<Keep>(v, kKeeps); }},
      {"before_birth", [&](const YamlValue& v) { s.before_birth = ReadChoice<Keep>(v, kKeeps); }},
      {"duplicates", [&](const YamlValue& v) { s.duplicates = ReadChoice<Keep>(v, kKeeps); }},
      {"date_only",
       [&](const YamlValue& v) {
         s.date_only = ReadChoice<IngestSettings::DateOnly>(v, kDateOnly);
       }},
      {"code_columns", [&](const YamlValue& v) { s.code_columns = v.AsStrings(); }},
      {"event_columns", [&](const YamlValue& v) { s.event_columns = v.AsStrings(); }},
      {"stay_column", [&](const YamlValue& v) { s.stay_column = v.AsString(); }},
      {"static_codes", [&](const YamlValue& v) { s.static_codes = ReadPatterns(v); }},
      {"value_tokens",
       [&](const YamlValue& v) {
         s.value_tokens = ReadChoice<IngestSettings::ValueTokens>(v, kValueTokens);
       }},
      {"value_bins", [&](const YamlValue& v) { s.value_bins = ReadInt(v, 2, 1000); }},
      {"values", [&](const YamlValue& v) { s.values = ReadValueRules(v); }},
      {"text_results", [&](const YamlValue& v) { s.text_results = v.AsBool(); }},
      {"text_result_max_bytes",
       [&](const YamlValue& v) { s.text_result_max_bytes = ReadInt(v, 1, 256); }},
      {"min_subjects", [&](const YamlValue& v) { s.min_subjects = ReadInt(v, 0, 1'000'000); }},
      {"keep_codes", [&](const YamlValue& v) { s.keep_codes = ReadPatterns(v); }},
      {"parent_fallback", [&](const YamlValue& v) { s.parent_fallback = v.AsBool(); }},
      {"truncations", [&](const YamlValue& v) { s.truncations = ReadTruncations(v); }},
      {"gap_tokens", [&](const YamlValue& v) { s.gap_tokens = v.AsBool(); }},
      {"gap_edges", [&](const YamlValue& v) { s.gap_edges_seconds = ReadEdges(v); }},
      {"age_bin_years", [&](const YamlValue& v) { s.age_bin_years = ReadInt(v, 0, 100); }},
  });
  return s;
}

std::string ToJson(const IngestSettings& s) {
  Json json = {{"order", Name(s.order, kOrders)},
               {"after_death", Name(s.after_death, kKeeps)},
               {"before_birth", Name(s.before_birth, kKeeps)},
               {"duplicates", Name(s.duplicates, kKeeps)},
               {"date_only", Name(s.date_only, kDateOnly)},
               {"code_columns", s.code_columns},
               {"event_columns", s.event_columns},
               {"stay_column", s.stay_column},
               {"static_codes", s.static_codes},
               {"value_tokens", Name(s.value_tokens, kValueTokens)},
               {"value_bins", s.value_bins},
               {"values", Json::array()},
               {"text_results", s.text_results},
               {"text_result_max_bytes", s.text_result_max_bytes},
               {"min_subjects", s.min_subjects},
               {"keep_codes", s.keep_codes},
               {"parent_fallback", s.parent_fallback},
               {"truncations", Json::array()},
               {"gap_tokens", s.gap_tokens},
               {"gap_edges_seconds", s.gap_edges_seconds},
               {"age_bin_years", s.age_bin_years}};
  for (const ValueRule& rule : s.values) {
    json["values"].push_back({{"code", rule.pattern},
                              {"factor", rule.factor},
                              {"minimum", Bound(rule.minimum)},
                              {"maximum", Bound(rule.maximum)}});
  }
  for (const TruncationRule& rule : s.truncations) {
    json["truncations"].push_back({{"code", rule.pattern}, {"lengths", rule.lengths}});
  }
  return json.dump();
}

IngestSettings IngestSettingsFromJson(std::string_view text) {
  using Keep = IngestSettings::Keep;
  IngestSettings s;
  try {
    const Json json = ParseJsonText<Json>(text, "manifest.json, \"tokenization\"");
    s.order = Choice<IngestSettings::Order>(json.at("order"), kOrders);
    s.after_death = Choice<Keep>(json.at("after_death"), kKeeps);
    s.before_birth = Choice<Keep>(json.at("before_birth"), kKeeps);
    s.duplicates = Choice<Keep>(json.at("duplicates"), kKeeps);
    s.date_only = Choice<IngestSettings::DateOnly>(json.at("date_only"), kDateOnly);
    s.value_tokens = Choice<IngestSettings::ValueTokens>(json.at("value_tokens"), kValueTokens);
    s.code_columns = json.value("code_columns", s.code_columns);
    s.event_columns = json.value("event_columns", s.event_columns);
    s.stay_column = json.value("stay_column", s.stay_column);
    json.at("static_codes").get_to(s.static_codes);
    s.value_bins = WholeInt(json.at("value_bins"), 2, 1000);
    json.at("text_results").get_to(s.text_results);
    s.text_result_max_bytes = WholeInt(json.at("text_result_max_bytes"), 1, 256);
    s.min_subjects = WholeInt(json.at("min_subjects"), 0, 1'000'000);
    json.at("keep_codes").get_to(s.keep_codes);
    json.at("parent_fallback").get_to(s.parent_fallback);
    json.at("gap_tokens").get_to(s.gap_tokens);
    s.gap_edges_seconds.clear();
    for (const Json& edge : json.at("gap_edges_seconds")) {
      s.gap_edges_seconds.push_back(Whole(edge, 0, INT64_MAX));
    }
    s.age_bin_years = WholeInt(json.at("age_bin_years"), 0, 100);
    for (const Json& rule : json.at("values")) {
      ValueRule value{rule.at("code"), rule.at("factor")};
      if (!rule.at("minimum").is_null()) rule.at("minimum").get_to(value.minimum);
      if (!rule.at("maximum").is_null()) rule.at("maximum").get_to(value.maximum);
      s.values.push_back(value);
    }
    s.truncations.clear();
    for (const Json& rule : json.at("truncations")) {
      TruncationRule& truncation = s.truncations.emplace_back(TruncationRule{rule.at("code"), {}});
      for (const Json& length : rule.at("lengths")) {
        truncation.lengths.push_back(WholeInt(length, 1, 100));
      }
    }
  } catch (const Json::exception& error) {
    throw InputError("the store's tokenization settings cannot be read: {}", error.what());
  }
  return s;
}

}  // namespace sequela
