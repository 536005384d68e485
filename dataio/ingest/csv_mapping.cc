#include "dataio/ingest/csv_mapping.h"

#include <algorithm>
#include <charconv>

#include "dataio/base/settings_reader.h"
#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"

namespace sequela {
namespace {

constexpr std::size_t kLongestColumn = 128;

std::vector<std::string> Cut(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find(separator, begin)) != std::string::npos;
       begin = end + separator.size()) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

// Trimmed, runs of blanks as one, cut at a character boundary.
std::string Tidy(std::string_view text) {
  std::string tidy;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank) {
      tidy.push_back(c);
    } else if (!tidy.empty() && tidy.back() != ' ') {
      tidy.push_back(' ');
    }
  }
  if (tidy.size() > kLongestColumn) {
    std::size_t end = kLongestColumn;
    while (end > 0 && (static_cast<unsigned char>(tidy[end]) & 0xC0U) == 0x80U) --end;
    tidy.resize(end);
  }
  while (!tidy.empty() && tidy.back() == ' ') tidy.pop_back();
  return tidy;
}

}  // namespace

CodeTemplate::Filter CodeTemplate::ParseFilter(const std::string& text) {
  std::vector<std::string> words = Cut(text, ":");
  if (words.back() == "pipe") words.back() = "|";  // which itself parts filters
  if (text == "exact") return {Filter::Kind::kExact, 0, ""};
  if (text == "upper") return {Filter::Kind::kUpper, 0, ""};
  if (text == "positive") return {Filter::Kind::kPositive, 0, ""};
  if (words.size() == 3 && words[0] == "last") {
    return {Filter::Kind::kLast, std::stoi("0" + words[1]), words[2]};
  }
  if (words.size() == 2 && words[0] == "after") return {Filter::Kind::kAfter, 0, words[1]};
  if (words.size() == 2 && words[0] == "droplast") return {Filter::Kind::kDropLast, 0, words[1]};
  throw InputError(
      "\"|{}\": known filters are exact, upper, positive, last:N:SEPARATOR, after:TEXT, "
      "droplast:SEPARATOR",
      text);
}

CodeTemplate::CodeTemplate(const std::string& text) {
  std::size_t at = 0;
  while (at < text.size()) {
    Part part;
    const std::size_t open = text.find('{', at);
    part.literal = text.substr(at, open - at);
    at = text.size();
    if (open != std::string::npos) {
      const std::size_t close = text.find('}', open);
      if (close == std::string::npos) throw InputError("\"{}\": a {{ without its }}", text);
      const std::vector<std::string> words = Cut(text.substr(open + 1, close - open - 1), "|");
      const auto known = std::find(columns_.begin(), columns_.end(), words[0]);
      part.column = static_cast<std::size_t>(known - columns_.begin());
      if (known == columns_.end()) columns_.push_back(words[0]);
      for (std::size_t i = 1; i < words.size(); ++i) part.filters.push_back(ParseFilter(words[i]));
      at = close + 1;
    }
    parts_.push_back(std::move(part));
  }
}

std::string CodeTemplate::Expand(const std::vector<std::string_view>& row, bool* complete) const {
  std::string code;
  *complete = true;
  for (const Part& part : parts_) {
    code += part.literal;
    if (!part.column) continue;
    std::string text(row[*part.column]);
    bool exact = false;
    for (const Filter& filter : part.filters) {
      switch (filter.kind) {
        case Filter::Kind::kUpper:
          for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
          break;
        case Filter::Kind::kExact:
          exact = true;
          break;
        case Filter::Kind::kPositive:
          if (std::atof(text.c_str()) <= 0.0) text.clear();
          break;
        case Filter::Kind::kAfter: {
          const auto found = text.rfind(filter.separator);
          if (found != std::string::npos) text = text.substr(found + filter.separator.size());
          break;
        }
        case Filter::Kind::kDropLast:
          if (const auto found = text.rfind(filter.separator); found != std::string::npos) {
            text.resize(found);
          }
          break;
        case Filter::Kind::kLast: {
          const std::vector<std::string> words = Cut(text, filter.separator);
          const auto keep =
              std::min<std::size_t>(words.size(), static_cast<std::size_t>(filter.count));
          text.clear();
          for (std::size_t i = words.size() - keep; i < words.size(); ++i) {
            text += (text.empty() ? "" : filter.separator) + words[i];
          }
          break;
        }
      }
    }
    if (!exact) text = Tidy(text);
    *complete = *complete && !text.empty();
    code += text.empty() ? "UNK" : text;
  }
  return code;
}

namespace {

CodeTemplate ReadTemplate(const YamlValue& value, const std::string& text) {
  try {
    return CodeTemplate(text);
  } catch (const InputError& error) {
    value.Fail(error.what());
  }
}

std::vector<CsvCondition> ReadConditions(const YamlValue& value, bool negate) {
  std::vector<CsvCondition> conditions;
  for (const auto& [column, pattern] : value.AsMap()) {
    conditions.push_back({column, Pattern(pattern.AsString()), negate});
  }
  return conditions;
}

void Append(std::vector<CsvCondition>& to, std::vector<CsvCondition> from) {
  to.insert(to.end(), from.begin(), from.end());
}

// Fields that an event has, and that a table may give for all of its events.
YamlValue::Fields EventFields(CsvEvent& event) {
  return {
      {"code",
       [&](const YamlValue& v) {
         event.codes.clear();
         for (const std::string& text : v.AsStrings()) event.codes.push_back(ReadTemplate(v, text));
       }},
      {"value", [&](const YamlValue& v) { event.value = v.AsString(); }},
      {"value_suffix", [&](const YamlValue& v) { event.value_suffix = v.AsString(); }},
      {"require_value", [&](const YamlValue& v) { event.require_value = v.AsBool(); }},
      {"text", [&](const YamlValue& v) { event.text = v.AsString(); }},
      {"when", [&](const YamlValue& v) { Append(event.conditions, ReadConditions(v, false)); }},
      {"unless", [&](const YamlValue& v) { Append(event.conditions, ReadConditions(v, true)); }},
      {"once",
       [&](const YamlValue& v) {
         event.once = v.OneOf({"per_group", "per_subject"}) == 0 ? CsvEvent::Once::kPerGroup
                                                                 : CsvEvent::Once::kPerSubject;
       }},
      {"order", [&](const YamlValue& v) { event.order = static_cast<int>(v.AsInteger()); }},
      {"offset_minutes",
       [&](const YamlValue& v) {
         event.offset_columns.clear();
         event.offset_minutes.reset();
         std::vector<std::string> words = v.AsStrings();
         std::int64_t minutes = 0;
         const char* end = words[0].data() + words[0].size();
         if (words.size() == 1 && std::from_chars(words[0].data(), end, minutes).ptr == end) {
           event.offset_minutes = minutes;
         } else {
           event.offset_columns = std::move(words);
         }
       }},
      {"time", [&](const YamlValue& v) { event.time_column = v.AsString(); }},
      {"time_format", [&](const YamlValue& v) { event.time_format = v.AsString(); }},
      {"static", [&](const YamlValue& v) { event.is_static = v.AsBool(); }},
      {"birth_age", [&](const YamlValue& v) { event.birth_age = v.AsString(); }},
  };
}

void CheckEvent(const YamlValue& place, const CsvEvent& event, const CsvTable& table) {
  if (event.codes.empty()) place.Fail("no 'code'");
  const int times = (event.offset_columns.empty() ? 0 : 1) + (event.offset_minutes ? 1 : 0) +
                    (event.time_column ? 1 : 0) + (event.is_static ? 1 : 0) +
                    (event.birth_age ? 1 : 0);
  if (times != 1) {
    place.Fail("needs exactly one of offset_minutes, time, static, birth_age: when did it happen?");
  }
  if (!table.key && (!event.offset_columns.empty() || event.offset_minutes || event.birth_age)) {
    place.Fail("an offset needs 'key', the table's column that refers to the anchors");
  }
}

CsvTable ReadTable(const YamlValue& value) {
  CsvTable table;
  CsvEvent common;
  std::optional<YamlValue> events;
  std::vector<std::string> measurements;
  std::string prefix;
  YamlValue::Fields fields = EventFields(common);
  fields["file"] = [&](const YamlValue& v) { table.file = v.AsString(); };
  fields["key"] = [&](const YamlValue& v) { table.key = v.AsString(); };
  fields["subject"] = [&](const YamlValue& v) { table.subject = v.AsString(); };
  fields["events"] = [&](const YamlValue& v) { events = v; };
  // One event a column that holds a number, coded "prefix//column".
  fields["measurements"] = [&](const YamlValue& v) { measurements = v.AsStrings(); };
  fields["prefix"] = [&](const YamlValue& v) { prefix = v.AsString(); };
  value.ReadFields(fields);
  if (table.file.empty()) value.Fail("no 'file'");
  if (!table.key && !table.subject) value.Fail("needs 'subject' or 'key': whose events are these?");
  for (const std::string& column : measurements) {
    CsvEvent event = common;
    event.codes = {CodeTemplate(prefix + "//" + column)};
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
  for (const CsvEvent& event : table.events) CheckEvent(value, event, table);
  return table;
}

CsvAnchors ReadAnchors(const YamlValue& value) {
  CsvAnchors a;
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

}  // namespace

CsvMapping LoadCsvMapping(const std::filesystem::path& yaml_file) {
  CsvMapping m;
  m.dataset.etl_name = "sequela ingest-csv";
  m.dataset.etl_version = SEQUELA_VERSION;
  YamlValue::Load(yaml_file).ReadFields({
      {"dataset",
       [&](const YamlValue& v) {
         v.ReadFields(
             {{"name", [&](const YamlValue& x) { m.dataset.dataset_name = x.AsString(); }},
              {"version", [&](const YamlValue& x) { m.dataset.dataset_version = x.AsString(); }},
              {"license", [&](const YamlValue& x) { m.dataset.license = x.AsString(); }}});
       }},
      {"folder",
       [&](const YamlValue& v) { m.folder = yaml_file.parent_path() / ExpandHome(v.AsString()); }},
      {"subject_pattern", [&](const YamlValue& v) { m.subject_pattern.emplace(v.AsString()); }},
      {"subject_scale", [&](const YamlValue& v) { m.subject_scale = v.AsInteger(); }},
      {"numbers",
       [&](const YamlValue& v) {
         for (const auto& [text, number] : v.AsMap()) m.numbers[text] = number.AsString();
       }},
      {"splits", [&](const YamlValue& v) { m.splits_file = v.AsString(); }},
      {"codes", [&](const YamlValue& v) { m.codes_file = v.AsString(); }},
      {"anchors", [&](const YamlValue& v) { m.anchors = ReadAnchors(v); }},
      {"tables",
       [&](const YamlValue& v) {
         for (const YamlValue& table : v.AsSequence()) m.tables.push_back(ReadTable(table));
       }},
  });
  if (m.tables.empty()) throw InputError("{}: no 'tables'.", yaml_file.string());
  for (const CsvTable& table : m.tables) {
    if (table.key && !m.anchors) {
      throw InputError("{}: table {} has a 'key', but there are no 'anchors'.", yaml_file.string(),
                       table.file);
    }
  }
  return m;
}

}  // namespace sequela
