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

using Fields = YamlValue::Fields;

Fields Joined(Fields a, Fields b) {
  a.merge(b);
  return a;
}

// What happened.
Fields ContentFields(CsvEvent& event) {
  return {
      {"code",
       [&](const YamlValue& v) {
         event.codes.clear();
         for (const std::string& text : v.AsStrings()) {
           event.codes.push_back(Read<CodeTemplate>(v, text));
         }
       }},
      {"value", [&](const YamlValue& v) { event.value = ReadName(v); }},
      {"value_suffix", [&](const YamlValue& v) { event.value_suffix = v.AsString(); }},
      {"require_value", [&](const YamlValue& v) { event.require_value = v.AsBool(); }},
      {"text", [&](const YamlValue& v) { event.text = ReadName(v); }},
  };
}

// When it happened.
Fields TimeFields(CsvEvent& event) {
  return {
      {"offset_minutes", [&](const YamlValue& v) { ReadOffset(v, event); }},
      {"time", [&](const YamlValue& v) { event.time_column = ReadName(v); }},
      {"time_format",
       [&](const YamlValue& v) {
         event.time_format = v.AsString();
         const std::string fault = FaultOfTimeFormat(event.time_format);
         if (!fault.empty()) v.Fail(fault);
       }},
      {"empty_time",
       [&](const YamlValue& v) {
         event.empty_time = static_cast<CsvEvent::EmptyTime>(v.OneOf({"lost", "skip", "static"}));
       }},
      {"static", [&](const YamlValue& v) { event.is_static = v.AsBool(); }},
      {"birth_age", [&](const YamlValue& v) { event.birth_age = ReadName(v); }},
  };
}

// Which rows have such an event.
Fields RowFields(CsvEvent& event) {
  return {
      {"when", [&](const YamlValue& v) { Append(event.conditions, ReadConditions(v, false)); }},
      {"unless", [&](const YamlValue& v) { Append(event.conditions, ReadConditions(v, true)); }},
      {"once",
       [&](const YamlValue& v) {
         event.once = v.OneOf({"per_group", "per_subject"}) == 0 ? CsvEvent::Once::kPerGroup
                                                                 : CsvEvent::Once::kPerSubject;
       }},
      {"order",
       [&](const YamlValue& v) {
         const std::int64_t order = v.AsInteger();
         if (order < 0 || order > 1000) v.Fail("an order lies between 0 and 1000");
         event.order = static_cast<int>(order);
       }},
      {"allow_lost", [&](const YamlValue& v) { event.allow_lost = ReadLosses(v); }},
  };
}

// Fields that an event has, and that a table may give for all of its events.
Fields EventFields(CsvEvent& event) {
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

CsvTable ReadTable(const YamlValue& value, char delimiter) {
  CsvTable table;
  table.delimiter = delimiter;
  CsvEvent common;
  std::optional<YamlValue> events;
  Measurements measurements;
  value.ReadFields(
      Joined(EventFields(common),
             {{"file", [&](const YamlValue& v) { table.file = ReadName(v); }},
              {"key", [&](const YamlValue& v) { table.key = ReadName(v); }},
              {"subject", [&](const YamlValue& v) { table.subject = ReadName(v); }},
              {"delimiter", [&](const YamlValue& v) { table.delimiter = ReadDelimiter(v); }},
              {"events", [&](const YamlValue& v) { events = v; }},
              {"measurements", [&](const YamlValue& v) { measurements.columns = v.AsStrings(); }},
              {"prefix", [&](const YamlValue& v) { measurements.prefix = v.AsString(); }}}));
  table.allow_lost = common.allow_lost;
  if (table.file.empty()) value.Fail("no 'file'");
  if (!table.key && !table.subject) value.Fail("needs 'subject' or 'key': whose events are these?");
  AddEvents(value, common, measurements, events, table);
  for (const CsvEvent& event : table.events) CheckEvent(value, event, table);
  return table;
}

CsvAnchors ReadAnchors(const YamlValue& value, char delimiter) {
  CsvAnchors a;
  a.delimiter = delimiter;
  const auto text = [](std::string& to) {
    return [&to](const YamlValue& v) { to = v.AsString(); };
  };
  value.ReadFields({{"file", text(a.file)},
                    {"key", text(a.key)},
                    {"subject", text(a.subject)},
                    {"group", text(a.group)},
                    {"year", text(a.year)},
                    {"time_of_day", text(a.time_of_day)},
                    {"start_offset_minutes", text(a.start_offset)},
                    {"end_offset_minutes", text(a.end_offset)},
                    {"delimiter", [&](const YamlValue& v) { a.delimiter = ReadDelimiter(v); }},
                    {"order_by", [&](const YamlValue& v) { a.order_by = v.AsStrings(); }}});
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

Fields DatasetFields(MedsDatasetInfo& dataset) {
  return {{"name", [&](const YamlValue& v) { dataset.dataset_name = v.AsString(); }},
          {"version", [&](const YamlValue& v) { dataset.dataset_version = v.AsString(); }},
          {"license", [&](const YamlValue& v) { dataset.license = v.AsString(); }}};
}

// How fields of all tables are read.
Fields ReadingFields(CsvMapping& m) {
  return {
      {"subject_pattern",
       [&](const YamlValue& v) { m.subject_pattern = Read<Pattern>(v, v.AsString()); }},
      {"subject_scale",
       [&](const YamlValue& v) {
         m.subject_scale = v.AsInteger();
         if (m.subject_scale < 1) v.Fail("a scale is 1 or more");
       }},
      {"time_offsets",
       [&](const YamlValue& v) {
         m.time_offsets = v.OneOf({"utc", "local"}) == 0 ? TimeOffsets::kUtc : TimeOffsets::kLocal;
       }},
      {"lost_share",
       [&](const YamlValue& v) {
         m.lost_share = v.AsNumber();
         if (!(m.lost_share >= 0.0 && m.lost_share <= 1.0)) v.Fail("a share lies between 0 and 1");
       }},
      {"numbers",
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

}  // namespace

CsvMapping LoadCsvMapping(const std::filesystem::path& yaml_file) {
  CsvMapping m;
  char delimiter = ',';
  std::optional<YamlValue> anchors;
  std::optional<YamlValue> tables;
  m.folder = yaml_file.parent_path();
  m.dataset.etl_name = "sequela ingest-csv";
  m.dataset.etl_version = SEQUELA_VERSION;
  YamlValue::Load(yaml_file).ReadFields(Joined(
      ReadingFields(m),
      {{"dataset", [&](const YamlValue& v) { v.ReadFields(DatasetFields(m.dataset)); }},
       {"folder",
        [&](const YamlValue& v) { m.folder = yaml_file.parent_path() / ExpandHome(v.AsString()); }},
       {"delimiter", [&](const YamlValue& v) { delimiter = ReadDelimiter(v); }},
       {"splits", [&](const YamlValue& v) { m.splits_file = v.AsString(); }},
       {"codes", [&](const YamlValue& v) { m.codes_file = v.AsString(); }},
       {"anchors", [&](const YamlValue& v) { anchors = v; }},
       {"tables", [&](const YamlValue& v) { tables = v; }}}));
  // After `delimiter`, wherever it stands.
  if (anchors) m.anchors = ReadAnchors(*anchors, delimiter);
  if (tables) {
    for (const YamlValue& table : tables->AsSequence()) {
      m.tables.push_back(ReadTable(table, delimiter));
    }
  }
  RequireAnchorsForKeys(m, yaml_file);
  return m;
}

}  // namespace sequela
