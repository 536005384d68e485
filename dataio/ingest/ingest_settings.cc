#include "dataio/ingest/ingest_settings.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "dataio/base/duration.h"
#include "dataio/base/pattern.h"
#include "dataio/base/settings_reader.h"
#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"

namespace sequela {
namespace {

using Json = nlohmann::ordered_json;

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
    entry.ReadFields({{"code", "", [&](const YamlValue& v) { rule.pattern = ReadPattern(v); }},
                      {"factor", "", [&](const YamlValue& v) { rule.factor = v.AsNumber(); }},
                      {"minimum", "", [&](const YamlValue& v) { rule.minimum = v.AsNumber(); }},
                      {"maximum", "", [&](const YamlValue& v) { rule.maximum = v.AsNumber(); }}});
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
    entry.ReadFields({{"code", "", [&](const YamlValue& v) { rule.pattern = ReadPattern(v); }},
                      {"lengths", "", [&](const YamlValue& v) {
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

using Names = std::vector<std::string>;

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

// One setting: its key in the YAML file, what it means, and how it goes in and out. The store's JSON
// has the same name unless `json_name` says another.
struct Setting {
  std::string name;
  std::string meaning;
  std::string default_text;
  std::function<void(const YamlValue&, IngestSettings&)> read;
  std::function<Json(const IngestSettings&)> to_json;
  std::function<void(const Json&, IngestSettings&)> from_json;
  std::string json_name = "";
  bool came_later = false;  // stores of format 1.0 do not have it
};

template <typename T>
T DefaultOf(T IngestSettings::*member) {
  const IngestSettings defaults;
  return defaults.*member;
}

template <typename Enum>
Setting ChoiceSetting(const std::string& name, Enum IngestSettings::*member, const Names& choices,
                      const std::string& meaning) {
  const auto number = static_cast<std::size_t>(DefaultOf(member));
  return {name,
          meaning,
          choices[number],
          [=](const YamlValue& v, IngestSettings& s) {
            s.*member = static_cast<Enum>(v.OneOf(choices));
          },
          [=](const IngestSettings& s) { return choices[static_cast<std::size_t>(s.*member)]; },
          [=](const Json& json, IngestSettings& s) {
            const auto text = json.get<std::string>();
            const auto found = std::find(choices.begin(), choices.end(), text);
            if (found == choices.end()) {
              throw InputError(
                  "the store's tokenization settings say \"{}\", which this version does not know",
                  text);
            }
            s.*member = static_cast<Enum>(found - choices.begin());
          }};
}

Setting IntSetting(const std::string& name, int IngestSettings::*member, int low, int high,
                   const std::string& meaning) {
  return {name,
          meaning,
          std::to_string(DefaultOf(member)),
          [=](const YamlValue& v, IngestSettings& s) { s.*member = ReadInt(v, low, high); },
          [=](const IngestSettings& s) { return s.*member; },
          [=](const Json& json, IngestSettings& s) { s.*member = WholeInt(json, low, high); }};
}

Setting SwitchSetting(const std::string& name, bool IngestSettings::*member,
                      const std::string& meaning) {
  return {name,
          meaning,
          DefaultOf(member) ? "true" : "false",
          [=](const YamlValue& v, IngestSettings& s) { s.*member = v.AsBool(); },
          [=](const IngestSettings& s) { return s.*member; },
          [=](const Json& json, IngestSettings& s) { json.get_to(s.*member); }};
}

// A list of texts, or with PatternsSetting of patterns.
Setting TextsSetting(const std::string& name, Names IngestSettings::*member,
                     const std::string& meaning) {
  return {name,
          meaning,
          "none",
          [=](const YamlValue& v, IngestSettings& s) { s.*member = v.AsStrings(); },
          [=](const IngestSettings& s) { return s.*member; },
          [=](const Json& json, IngestSettings& s) { json.get_to(s.*member); }};
}

Setting PatternsSetting(const std::string& name, Names IngestSettings::*member,
                        const std::string& default_text, const std::string& meaning) {
  Setting setting = TextsSetting(name, member, meaning);
  setting.default_text = default_text;
  setting.read = [=](const YamlValue& v, IngestSettings& s) { s.*member = ReadPatterns(v); };
  return setting;
}

Setting Later(Setting setting) {
  setting.came_later = true;
  return setting;
}

Setting StayColumnSetting() {
  return {"stay_column",
          "column of integers that is kept as `/chain/stay`",
          "none",
          [](const YamlValue& v, IngestSettings& s) { s.stay_column = v.AsString(); },
          [](const IngestSettings& s) { return s.stay_column; },
          [](const Json& json, IngestSettings& s) { json.get_to(s.stay_column); }};
}

Json ValueRulesJson(const IngestSettings& s) {
  Json json = Json::array();
  for (const ValueRule& rule : s.values) {
    json.push_back({{"code", rule.pattern},
                    {"factor", rule.factor},
                    {"minimum", Bound(rule.minimum)},
                    {"maximum", Bound(rule.maximum)}});
  }
  return json;
}

void ValueRulesFromJson(const Json& json, IngestSettings& s) {
  s.values.clear();
  for (const Json& rule : json) {
    ValueRule value{rule.at("code"), rule.at("factor")};
    if (!rule.at("minimum").is_null()) rule.at("minimum").get_to(value.minimum);
    if (!rule.at("maximum").is_null()) rule.at("maximum").get_to(value.maximum);
    s.values.push_back(value);
  }
}

Setting ValuesSetting() {
  return {"values",
          "a list of `{code: PATTERN, factor: F, minimum: A, maximum: B}`: numbers of these codes "
          "are multiplied by F as they are read, and those outside A to B are counted and get no "
          "value token",
          "none",
          [](const YamlValue& v, IngestSettings& s) { s.values = ReadValueRules(v); },
          ValueRulesJson,
          ValueRulesFromJson};
}

Json TruncationsJson(const IngestSettings& s) {
  Json json = Json::array();
  for (const TruncationRule& rule : s.truncations) {
    json.push_back({{"code", rule.pattern}, {"lengths", rule.lengths}});
  }
  return json;
}

void TruncationsFromJson(const Json& json, IngestSettings& s) {
  s.truncations.clear();
  for (const Json& rule : json) {
    TruncationRule& truncation = s.truncations.emplace_back(TruncationRule{rule.at("code"), {}});
    for (const Json& length : rule.at("lengths")) {
      truncation.lengths.push_back(WholeInt(length, 1, 100));
    }
  }
}

Setting TruncationsSetting() {
  return {"truncations",
          "a list of `{code: PATTERN, lengths: [N, ...]}`: rare codes are cut to each length in "
          "turn. The pattern captures what stands before the code, and the code",
          "ICD codes to 3 characters, ATC codes to 5, 4, 3 and 1",
          [](const YamlValue& v, IngestSettings& s) { s.truncations = ReadTruncations(v); },
          TruncationsJson,
          TruncationsFromJson};
}

Setting GapEdgesSetting() {
  return {"gap_edges",
          "lower edges of the bins of gaps, ascending, behind the first, which is 0: durations "
          "such as 30s, 5min, 2h, 1d, 3mo, 10y",
          "23 edges from 1min to 100y",
          [](const YamlValue& v, IngestSettings& s) { s.gap_edges_seconds = ReadEdges(v); },
          [](const IngestSettings& s) { return s.gap_edges_seconds; },
          [](const Json& json, IngestSettings& s) {
            s.gap_edges_seconds.clear();
            for (const Json& edge : json) s.gap_edges_seconds.push_back(Whole(edge, 0, INT64_MAX));
          },
          "gap_edges_seconds"};
}

std::vector<Setting> OrderSettings() {
  using S = IngestSettings;
  const Names keep = {"keep", "drop"};
  return {
      ChoiceSetting("order", &S::order, {"canonical", "source"},
                    "of events that share a time stamp. `canonical`: birth, admissions, others, "
                    "discharges, death; then code, value, text. `source`: the order of the rows, "
                    "each subject being in one file"),
      ChoiceSetting("after_death", &S::after_death, keep, "`drop`, `keep`: events after death"),
      ChoiceSetting("before_birth", &S::before_birth, keep, "`drop`, `keep`: events before birth"),
      ChoiceSetting("duplicates", &S::duplicates, keep,
                    "`drop`, `keep`: rows that are there already, alike in everything"),
      ChoiceSetting("date_only", &S::date_only, {"report", "end_of_day"},
                    "codes whose times are dates (of at least 20 events, 95 % at 00:00:00): "
                    "`report` them, or place their events at the `end_of_day`"),
  };
}

std::vector<Setting> ColumnSettings() {
  using S = IngestSettings;
  return {
      Later(TextsSetting("code_columns", &S::code_columns,
                         "columns joined to the code, behind the code modifiers")),
      Later(TextsSetting("event_columns", &S::event_columns,
                         "columns that become events of their own at the row's time")),
      Later(StayColumnSetting()),
      PatternsSetting("static_codes", &S::static_codes, "birth, sex or gender, race, ethnicity",
                      "patterns of the facts without a time that open every window; the others "
                      "are dropped and counted"),
  };
}

std::vector<Setting> TokenSettings() {
  using S = IngestSettings;
  return {
      ChoiceSetting("value_tokens", &S::value_tokens, {"joint", "separate", "none"},
                    "`joint`: a token for code and bin; `separate`: the code's, then the bin's, "
                    "which all codes share; `none`: the bins are left out"),
      IntSetting("value_bins", &S::value_bins, 2, 1000, "quantile bins of each code's numbers"),
      ValuesSetting(),
      SwitchSetting("text_results", &S::text_results,
                    "whether short texts, such as \"positive\", become tokens"),
      IntSetting("text_result_max_bytes", &S::text_result_max_bytes, 1, 256,
                 "longer texts are free text, which never becomes a token"),
      IntSetting("min_subjects", &S::min_subjects, 0, 1'000'000,
                 "a token stands for something seen in so many train subjects; 0: the smaller of "
                 "10 and an eighth of the train subjects"),
      PatternsSetting("keep_codes", &S::keep_codes, "birth and death",
                      "patterns of codes that have their token however rare they are"),
      SwitchSetting("parent_fallback", &S::parent_fallback,
                    "whether rare codes become their parent codes, where codes.parquet has them"),
      TruncationsSetting(),
      SwitchSetting("gap_tokens", &S::gap_tokens,
                    "whether a token tells the time since the event before"),
      GapEdgesSetting(),
      IntSetting("age_bin_years", &S::age_bin_years, 0, 100,
                 "years of an age token's bin; 0: no age tokens"),
  };
}

// In the order of the store's JSON.
const std::vector<Setting>& Settings() {
  static const std::vector<Setting> settings = [] {
    std::vector<Setting> all = OrderSettings();
    for (auto* part : {&ColumnSettings, &TokenSettings}) {
      const std::vector<Setting> more = part();
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }();
  return settings;
}

const std::string& JsonName(const Setting& setting) {
  return setting.json_name.empty() ? setting.name : setting.json_name;
}

SettingsFields FieldsOf(IngestSettings& s) {
  SettingsFields fields;
  for (const Setting& setting : Settings()) {
    fields.push_back({setting.name,
                      fmt::format("{}. Default: {}", setting.meaning, setting.default_text),
                      [&](const YamlValue& v) { setting.read(v, s); }});
  }
  return fields;
}

}  // namespace

IngestSettings LoadIngestSettings(const std::filesystem::path& yaml_file) {
  IngestSettings s;
  YamlValue::Load(yaml_file).ReadFields(FieldsOf(s));
  return s;
}

std::string ToJson(const IngestSettings& s) {
  Json json;
  for (const Setting& setting : Settings()) json[JsonName(setting)] = setting.to_json(s);
  return json.dump();
}

IngestSettings IngestSettingsFromJson(std::string_view text) {
  IngestSettings s;
  try {
    const Json json = ParseJsonText<Json>(text, "manifest.json, \"tokenization\"");
    for (const Setting& setting : Settings()) {
      const std::string& name = JsonName(setting);
      if (!setting.came_later || json.contains(name)) setting.from_json(json.at(name), s);
    }
  } catch (const Json::exception& error) {
    throw InputError("the store's tokenization settings cannot be read: {}", error.what());
  }
  return s;
}

std::vector<SettingsSection> IngestSettingsSections() {
  IngestSettings s;
  return {{"The file of `sequela ingest --config FILE`", FieldsOf(s)}};
}

}  // namespace sequela
