// How event tables become MEDS: the mapping file of `sequela ingest-csv` (docs/ingest-csv.md).
// Plain data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dataio/base/pattern.h"
#include "dataio/base/settings_reader.h"
#include "dataio/ingest/csv/code_template.h"
#include "dataio/ingest/csv/csv_losses.h"
#include "dataio/meds/meds_writer.h"

namespace sequela {

struct CsvCondition {
  std::string column;
  Pattern pattern;
  bool negate = false;
};

// What the clock of a time with an offset ("+02:00") says: the time in UTC, or the local time as it
// is written. By default UTC, and such times beside times without an offset are refused.
enum class TimeOffsets : std::uint8_t { kRefuseMixed, kUtc, kLocal };

struct CsvEvent {
  enum class Once : std::uint8_t { kNo, kPerGroup, kPerSubject };
  // What a row means whose time is empty: it is lost, it has no such event, or a fact without time.
  enum class EmptyTime : std::uint8_t { kLost, kSkip, kStatic };
  std::vector<CodeTemplate> codes;   // the first one without an empty column counts, else the last
  std::optional<std::string> value;  // column; text that is no number goes to text_value
  std::string value_suffix;          // stripped from the value ("%")
  bool require_value = false;        // rows without a number give no event
  std::optional<std::string> text;   // column
  std::vector<CsvCondition> conditions;  // all must hold
  Once once = Once::kNo;
  int order = 5;  // within a time stamp, before the row's place
  // Time: at most one kind; none is a static fact.
  std::vector<std::string> offset_columns;     // minutes after the anchor; the largest counts
  std::optional<std::int64_t> offset_minutes;  // a constant
  std::optional<std::string> time_column;
  std::string time_format;  // strptime; empty: ISO 8601
  EmptyTime empty_time = EmptyTime::kLost;
  bool is_static = false;
  std::optional<std::string> birth_age;  // age in years at the group's start: this is a birth
  LossSet allow_lost{};                  // reasons for which any share of rows may be lost
};

struct CsvTable {
  std::string file;
  std::optional<std::string> key;      // column that refers to the anchors' key
  std::optional<std::string> subject;  // column, without anchors
  char delimiter = ',';                // of CSV
  LossSet allow_lost{};                // for its rows (no_subject, unknown_key)
  std::vector<CsvEvent> events;
};

// A table whose rows (stays) tell subjects and times of other tables. Rows of a group share a
// start; groups of a subject are laid one after another where their dates, which are no more than
// years, overlap.
struct CsvAnchors {
  std::string file;
  std::string key;
  std::string subject;
  std::string group;
  std::string year;
  std::string time_of_day;
  std::string start_offset;           // minutes from the row's zero to the group's start
  std::string end_offset;             // likewise to its end
  char delimiter = ',';               // of CSV
  std::vector<std::string> order_by;  // of a subject's groups; the group id last
};

struct CsvMapping {
  MedsDatasetInfo dataset;
  std::filesystem::path folder;            // of the tables; by default that of the mapping
  std::optional<Pattern> subject_pattern;  // two groups of digits: first * subject_scale + second
  std::int64_t subject_scale = 1'000'000;
  std::map<std::string, std::string> numbers;  // texts that stand for numbers: "> 89": "90"
  std::optional<std::string> splits_file;      // below `folder`; else by hash of the subject
  std::optional<std::string> codes_file;       // MEDS code metadata below `folder`
  TimeOffsets time_offsets = TimeOffsets::kRefuseMixed;
  double lost_share = 0.01;  // of rows that one reason may cost without an error
  std::optional<CsvAnchors> anchors;
  std::vector<CsvTable> tables;
};

// Throws InputError with file:line:column.
CsvMapping LoadCsvMapping(const std::filesystem::path& yaml_file);

// All keys of a mapping with their meanings, as LoadCsvMapping reads them. Their `read` is not to be
// called.
std::vector<SettingsSection> CsvMappingSections();

}  // namespace sequela
