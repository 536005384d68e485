#include "dataio/ingest/csv_mapping.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "dataio/base/settings_reader.h"
#include "dataio/ingest/csv/csv_time.h"
#include "dataio/ingest/csv/csv_values.h"
#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"

namespace sequela {
namespace {

constexpr std::int64_t kMostMinutes = 1000LL * 366 * 24 * 60;

// Makes a T of a text, with the place in the mapping where that fails.
template <typename T>
T Read(const YamlValue& value, const std::string& text) {
  try {
    return T(text);
  } catch (const InputError& error) {
    value.Fail(error.what());
  }
}

std::string ReadName(const YamlValue& value) {
  std::string name = value.AsString();
  if (name.empty()) value.Fail("an empty text where a name is expected");
  return name;
}

char ReadDelimiter(const YamlValue& value) {
  const std::string text = value.AsString();
  if (text == "tab" || text == "\\t") return '\t';
  const bool one =
      text.size() == 1 && std::string_view("\"\r\n ").find(text[0]) == std::string_view::npos;
  if (!one) value.Fail("a delimiter is one character, such as \";\", or \"\\t\"");
  return text[0];
}

LossSet ReadLosses(const YamlValue& value) {
  const std::vector<std::string> known(kLossNames.begin(), kLossNames.end());
  LossSet set{};
  const std::vector<YamlValue> names =
      value.is_sequence() ? value.AsSequence() : std::vector<YamlValue>{value};
  for (const YamlValue& name : names) set[name.OneOf(known)] = true;
  return set;
}

std::vector<CsvCondition> ReadConditions(const YamlValue& value, bool negate) {
  std::vector<CsvCondition> conditions;
  for (const auto& [column, pattern] : value.AsMap()) {
    conditions.push_back({column, Read<Pattern>(pattern, pattern.AsString()), negate});
  }
  return conditions;
}

void Append(std::vector<CsvCondition>& to, std::vector<CsvCondition> from) {
  to.insert(to.end(), from.begin(), from.end());
}

void ReadOffset(const YamlValue& value, CsvEvent& event) {
  event.offset_columns.clear();
  event.offset_minutes.reset();
  std::vector<std::string> words = value.AsStrings();
  if (words.empty() || std::find(words.begin(), words.end(), "") != words.end()) {
    value.Fail("minutes, a column, or a list of columns is expected");
  }
  std::int64_t minutes = 0;
  const char* end = words[0].data() + words[0].size();
  const auto [read, error] = std::from_chars(words[0].data(), end, minutes);
  if (words.size() > 1 || read != end || error == std::errc::invalid_argument) {
    event.offset_columns = std::move(words);
    return;
  }
  if (error != std::errc() || std::abs(minutes) > kMostMinutes) {
    value.Fail("an offset is less than a thousand years");
  }
  event.offset_minutes = minutes;
}

// What happened.
SettingsFields ContentFields(CsvEvent& event) {
  return {
      {"code", "a template, `\"RESP//{label}\"`, or a list: the first whose columns are all filled",
       [&](const YamlValue& v) {
         event.codes.clear();
         for (const std::string& text : v.AsStrings()) {
           event.codes.push_back(Read<CodeTemplate>(v, text));
         }
       }},
      {"value", "column; text that is no number becomes text_value",
       [&](const YamlValue& v) { event.value = ReadName(v); }},
      {"value_suffix", "a text at the value's end that is left out, such as `\"%\"`",
       [&](const YamlValue& v) { event.value_suffix = v.AsString(); }},
      {"require_value", "`true`: no event without a number",
       [&](const YamlValue& v) { event.require_value = v.AsBool(); }},
      {"text", "column for text_value", [&](const YamlValue& v) { event.text = ReadName(v); }},
  };
}

// When it happened.
SettingsFields TimeFields(CsvEvent& event) {
  return {
      {"offset_minutes",
       "minutes after the key's zero: a number, a column, or columns of which the largest counts",
       [&](const YamlValue& v) { ReadOffset(v, event); }},
      {"time", "column with a date and time",
       [&](const YamlValue& v) { event.time_column = ReadName(v); }},
      {"time_format", "of `time`, as strptime's; ISO 8601 by default",
       [&](const YamlValue& v) {
         event.time_format = v.AsString();
         const std::string fault = FaultOfTimeFormat(event.time_format);
         if (!fault.empty()) v.Fail(fault);
       }},
      {"empty_time",
       "what an empty time means: `lost` (default: counted as `no_time`), `skip` (no event), "
       "`static` (a fact without time)",
       [&](const YamlValue& v) {
         event.empty_time = static_cast<CsvEvent::EmptyTime>(v.OneOf({"lost", "skip", "static"}));
       }},
      {"static", "`true`: a fact without time",
       [&](const YamlValue& v) { event.is_static = v.AsBool(); }},
      {"birth_age",
       "column with the age in years at the stay's start: the event is at the time of birth",
       [&](const YamlValue& v) { event.birth_age = ReadName(v); }},
  };
}

// Which rows have such an event.
SettingsFields RowFields(CsvEvent& event) {
  return {
      {"when", "`{column: pattern}` that must match",
       [&](const YamlValue& v) { Append(event.conditions, ReadConditions(v, false)); }},
      {"unless", "`{column: pattern}` that must not match",
       [&](const YamlValue& v) { Append(event.conditions, ReadConditions(v, true)); }},
      {"once", "`per_group`, `per_subject`: from the first stay alone",
       [&](const YamlValue& v) {
         event.once = v.OneOf({"per_group", "per_subject"}) == 0 ? CsvEvent::Once::kPerGroup
                                                                 : CsvEvent::Once::kPerSubject;
       }},
      {"order", "place within one time stamp (default 5)",
       [&](const YamlValue& v) {
         const std::int64_t order = v.AsInteger();
         if (order < 0 || order > 1000) v.Fail("an order lies between 0 and 1000");
         event.order = static_cast<int>(order);
       }},
      {"allow_lost",
       "reasons for which more than `lost_share` may be lost, such as `[outside_stay]`; of a table "
       "for its rows (`no_subject`, `unknown_key`), too",
       [&](const YamlValue& v) { event.allow_lost = ReadLosses(v); }},
  };
}

// Fields that an event has, and that a table may give for all of its events.
SettingsFields EventFields(CsvEvent& event) {
  return Joined(ContentFields(event), Joined(TimeFields(event), RowFields(event)));
}

void CheckEvent(const YamlValue& place, const CsvEvent& event, const CsvTable& table) {
  if (event.codes.empty()) place.Fail("no 'code'");
  const int times = (event.offset_columns.empty() ? 0 : 1) + (event.offset_minutes ? 1 : 0) +
                    (event.time_column ? 1 : 0) + (event.is_static ? 1 : 0) +
                    (event.birth_age ? 1 : 0);
  if (times != 1) {
    place.Fail("needs exactly one of offset_minutes, time, static, birth_age: when did it happen?");
  }
  const bool death = std::any_of(event.codes.begin(), event.codes.end(),
                                 [](const auto& code) { return code.text() == "MEDS_DEATH"; });
  const bool may_be_static = event.is_static || event.empty_time == CsvEvent::EmptyTime::kStatic;
  if (death && may_be_static)
    place.Fail("a death has a time: no 'static', no 'empty_time: static'");
  if (!event.time_format.empty() && !event.time_column) place.Fail("'time_format' without 'time'");
  if (!table.key && (!event.offset_columns.empty() || event.offset_minutes || event.birth_age)) {
    place.Fail("an offset needs 'key', the table's column that refers to the anchors");
  }
}

// One event a column that holds a number, coded "prefix//column".
struct Measurements {
  std::vector<std::string> columns;
  std::string prefix;
};

void AddEvents(const YamlValue& value, const CsvEvent& common, const Measurements& measurements,
               const std::optional<YamlValue>& events, CsvTable& table) {
  for (const std::string& column : measurements.columns) {
    CsvEvent event = common;
    event.codes = {Read<CodeTemplate>(value, measurements.prefix + "//" + column)};
    event.value = column;
    event.require_value = true;
    table.events.push_back(std::move(event));
  }
  if (events) {
    for (const YamlValue& entry : events->AsSequence()) {
      CsvEvent event = common;
      entry.ReadFields(EventFields(event));
      CheckEvent(entry, event, table);
      table.events.push_back(std::move(event));
    }
  }
  if (table.events.empty()) table.events.push_back(common);
}

// What a table's keys are read into before its events are made.
struct TableKeys {
  CsvTable table;
  CsvEvent common;  // of all its events
  std::optional<YamlValue> events;
  Measurements measurements;
};

SettingsFields TableFields(TableKeys& t) {
  return {
      {"file", "its name below `folder`", [&](const YamlValue& v) { t.table.file = ReadName(v); }},
      {"key", "instead of `subject`: the column that refers to the anchors' `key`",
       [&](const YamlValue& v) { t.table.key = ReadName(v); }},
      {"subject", "the column with the subject's id",
       [&](const YamlValue& v) { t.table.subject = ReadName(v); }},
      {"delimiter", "of this table",
       [&](const YamlValue& v) { t.table.delimiter = ReadDelimiter(v); }},
      {"events", "a list of events; without it the table's own keys are one event",
       [&](const YamlValue& v) { t.events = v; }},
      {"measurements", "columns, each an event with its number as value, coded `prefix//column`",
       [&](const YamlValue& v) { t.measurements.columns = v.AsStrings(); }},
      {"prefix", "of the codes of `measurements`",
       [&](const YamlValue& v) { t.measurements.prefix = v.AsString(); }}};
}

CsvTable ReadTable(const YamlValue& value, char delimiter) {
  TableKeys keys;
  keys.table.delimiter = delimiter;
  value.ReadFields(Joined(TableFields(keys), EventFields(keys.common)));
  CsvTable& table = keys.table;
  table.allow_lost = keys.common.allow_lost;
  if (table.file.empty()) value.Fail("no 'file'");
  if (!table.key && !table.subject) value.Fail("needs 'subject' or 'key': whose events are these?");
  AddEvents(value, keys.common, keys.measurements, keys.events, table);
  for (const CsvEvent& event : table.events) CheckEvent(value, event, table);
  return table;
}

SettingsFields AnchorFields(CsvAnchors& a) {
  const auto text = [](std::string& to) {
    return [&to](const YamlValue& v) { to = v.AsString(); };
  };
  return {
      {"file", "its name below `folder`", text(a.file)},
      {"key", "column: the stay's own id, unique; other tables refer to it", text(a.key)},
      {"subject", "the column with the subject's id", text(a.subject)},
      {"group", "column: stays of one group, such as a stay in hospital, share their start",
       text(a.group)},
      {"year", "column: the year of the group's start", text(a.year)},
      {"time_of_day", "column: the time of the group's start, hh:mm:ss", text(a.time_of_day)},
      {"start_offset_minutes", "column: minutes from the stay's zero to the group's start",
       text(a.start_offset)},
      {"end_offset_minutes", "column: minutes from the stay's zero to the group's end",
       text(a.end_offset)},
      {"delimiter", "of this table", [&](const YamlValue& v) { a.delimiter = ReadDelimiter(v); }},
      {"order_by", "columns by which a subject's groups follow each other",
       [&](const YamlValue& v) { a.order_by = v.AsStrings(); }}};
}

CsvAnchors ReadAnchors(const YamlValue& value, char delimiter) {
  CsvAnchors a;
  a.delimiter = delimiter;
  value.ReadFields(AnchorFields(a));
  for (const std::string* field : {&a.file, &a.key, &a.subject, &a.group, &a.year, &a.time_of_day,
                                   &a.start_offset, &a.end_offset}) {
    if (field->empty()) {
      value.Fail(
          "needs file, key, subject, group, year, time_of_day, start_offset_minutes and "
          "end_offset_minutes");
    }
  }
  return a;
}

SettingsFields DatasetFields(MedsDatasetInfo& dataset) {
  return {
      {"name", "of the data set, for dataset.json",
       [&](const YamlValue& v) { dataset.dataset_name = v.AsString(); }},
      {"version", "of the data set",
       [&](const YamlValue& v) { dataset.dataset_version = v.AsString(); }},
      {"license", "of the data set", [&](const YamlValue& v) { dataset.license = v.AsString(); }}};
}

// How fields of all tables are read.
SettingsFields ReadingFields(CsvMapping& m) {
  return {
      {"subject_pattern",
       "for ids that are no numbers: a pattern with two groups of digits, first x "
       "`subject_scale` + second; ids that it does not match get a stable hash",
       [&](const YamlValue& v) { m.subject_pattern = Read<Pattern>(v, v.AsString()); }},
      {"subject_scale", "of `subject_pattern` (default 1,000,000)",
       [&](const YamlValue& v) {
         m.subject_scale = v.AsInteger();
         if (m.subject_scale < 1) v.Fail("a scale is 1 or more");
       }},
      {"time_offsets",
       "`utc`: times with an offset from UTC are moved to UTC; `local`: the offset is passed "
       "over. Without it they are moved, and refused beside times without an offset",
       [&](const YamlValue& v) {
         m.time_offsets = v.OneOf({"utc", "local"}) == 0 ? TimeOffsets::kUtc : TimeOffsets::kLocal;
       }},
      {"lost_share", "share of rows that may be lost for one reason, 0.01 by default",
       [&](const YamlValue& v) {
         m.lost_share = v.AsNumber();
         if (!(m.lost_share >= 0.0 && m.lost_share <= 1.0)) v.Fail("a share lies between 0 and 1");
       }},
      {"numbers", "texts that stand for numbers: `{\"> 89\": 90}`",
       [&](const YamlValue& v) {
         for (const auto& [text, number] : v.AsMap()) {
           m.numbers[text] = number.AsString();
           if (std::isnan(NumberOf({}, m.numbers[text]))) number.Fail("a number is expected");
         }
       }},
  };
}

void RequireAnchorsForKeys(const CsvMapping& m, const std::filesystem::path& yaml_file) {
  if (m.tables.empty()) throw InputError("{}: no 'tables'.", yaml_file.string());
  for (const CsvTable& table : m.tables) {
    if (!table.key || m.anchors) continue;
    throw InputError("{}: table {} has a 'key', but there are no 'anchors'.", yaml_file.string(),
                     table.file);
  }
}

// What a mapping's keys are read into before its tables are.
struct MappingKeys {
  CsvMapping mapping;
  std::filesystem::path folder;  // of the mapping's file
  char delimiter = ',';
  std::optional<YamlValue> anchors;
  std::optional<YamlValue> tables;
};

SettingsFields MappingFields(MappingKeys& k) {
  return Joined(
      {{"dataset", "`{name, version, license}`, for dataset.json",
        [&](const YamlValue& v) { v.ReadFields(DatasetFields(k.mapping.dataset)); }},
       {"folder",
        "of the tables, from the mapping's place; that place by default; `--tables` overrides it",
        [&](const YamlValue& v) { k.mapping.folder = k.folder / ExpandHome(v.AsString()); }},
       {"delimiter",
        "of CSV, `\",\"` by default, such as `\";\"` or `\"\\t\"`; a table and `anchors` may have "
        "their own",
        [&](const YamlValue& v) { k.delimiter = ReadDelimiter(v); }},
       {"splits", "subject_splits.parquet below `folder`; without it splits go by hash",
        [&](const YamlValue& v) { k.mapping.splits_file = v.AsString(); }},
       {"codes", "codes.parquet below `folder`",
        [&](const YamlValue& v) { k.mapping.codes_file = v.AsString(); }},
       {"anchors",
        "the table of stays: which subject a key belongs to, and when its zero is (below)",
        [&](const YamlValue& v) { k.anchors = v; }},
       {"tables", "a list (below)", [&](const YamlValue& v) { k.tables = v; }}},
      ReadingFields(k.mapping));
}

}  // namespace

CsvMapping LoadCsvMapping(const std::filesystem::path& yaml_file) {
  MappingKeys keys;
  keys.folder = yaml_file.parent_path();
  CsvMapping& m = keys.mapping;
  m.folder = keys.folder;
  m.dataset.etl_name = "sequela ingest-csv";
  m.dataset.etl_version = SEQUELA_VERSION;
  YamlValue::Load(yaml_file).ReadFields(MappingFields(keys));
  // After `delimiter`, wherever it stands.
  if (keys.anchors) m.anchors = ReadAnchors(*keys.anchors, keys.delimiter);
  if (keys.tables) {
    for (const YamlValue& table : keys.tables->AsSequence()) {
      m.tables.push_back(ReadTable(table, keys.delimiter));
    }
  }
  RequireAnchorsForKeys(m, yaml_file);
  return m;
}

std::vector<SettingsSection> CsvMappingSections() {
  MappingKeys mapping;
  TableKeys table;
  CsvEvent event;
  CsvAnchors anchors;
  return {{"The mapping", MappingFields(mapping)},
          {"`dataset`", DatasetFields(mapping.mapping.dataset)},
          {"A table", TableFields(table)},
          {"An event, in a table's `events` list or in the table itself for all of them",
           EventFields(event)},
          {"The anchors", AnchorFields(anchors)}};
}

}  // namespace sequela
