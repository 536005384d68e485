#include "dataio/ingest/ingest_csv.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <unordered_map>

#include "dataio/base/string_pool.h"
#include "dataio/ingest/csv/csv_anchors.h"
#include "dataio/ingest/csv/csv_dataset_writer.h"
#include "dataio/ingest/csv/csv_time.h"
#include "dataio/ingest/csv/csv_values.h"
#include "dataio/ingest/reading/partition_files.h"
#include "dataio/ingest/splits.h"
#include "dataio/meds/event_file.h"
#include "dataio/meds/text_table.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMinuteUs = 60'000'000;
constexpr std::int64_t kDayUs = 86'400'000'000;
constexpr double kMostMinutes = 1000.0 * 366 * 24 * 60;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// The columns that a table's events need, and where each is.
class ColumnList {
 public:
  std::size_t Add(const std::string& name, bool as_text = true) {
    const auto found =
        std::find_if(columns_.begin(), columns_.end(),
                     [&](const WantedColumn& column) { return column.name == name; });
    const auto place = static_cast<std::size_t>(found - columns_.begin());
    if (found == columns_.end()) columns_.push_back({name, false});
    columns_[place].as_text = columns_[place].as_text || as_text;
    return place;
  }
  const std::vector<WantedColumn>& columns() const { return columns_; }

 private:
  std::vector<WantedColumn> columns_;
};

// An event with its columns as places in the batch.
struct BoundEvent {
  const CsvEvent* event;
  std::vector<std::vector<std::size_t>> code_columns;
  std::size_t value = 0, text = 0, time = 0, age = 0;
  std::vector<std::size_t> offsets;
  std::vector<std::size_t> conditions;
  std::uint32_t sequence =
      0;  // place among the events of one time stamp: order, then the mapping's order
  std::uint16_t number = 0;  // in the table
  std::int64_t wanted = 0;   // rows that the mapping wants as this event
  LossCounts lost;           // of them
};

struct FoundTime {
  ParsedTime::Kind kind = ParsedTime::Kind::kUnreadable;
  std::int64_t time_us = 0;
};

class CsvIngester {
 public:
  explicit CsvIngester(const IngestCsvOptions& options)
      : options_(options),
        mapping_(options.mapping),
        folder_(options.out),
        partitions_(folder_.folder(), folder_.work_name(), ChoosePartitions(), 0, 1),
        buffers_(static_cast<std::size_t>(partitions_.count())),
        subjects_by_text_(mapping_) {
    if (options.note && !folder_.takeover().empty()) options.note(folder_.takeover());
    if (mapping_.splits_file) splits_ = LoadSplits(mapping_.folder / *mapping_.splits_file);
  }

  IngestCsvReport Run() {
    const auto begin = std::chrono::steady_clock::now();
    if (mapping_.anchors) anchors_ = LoadAnchors(mapping_, subjects_by_text_);
    std::uint32_t number = 0;
    for (const CsvTable& table : mapping_.tables) ReadTable(table, number++);
    for (std::size_t p = 0; p < buffers_.size(); ++p) Flush(p);
    partitions_.CloseRaw();
    codes_ = code_pool_.TakeRanks();
    texts_ = text_pool_.TakeRanks();
    CsvDatasetWriter writer(folder_.folder() / "data", splits_, codes_, texts_);
    for (int p = 0; p < partitions_.count(); ++p) writer.WritePartition(partitions_.TakeRaw(p), p);
    report_.subjects = writer.counts().subjects;
    report_.events = writer.counts().events;
    report_.extra_deaths = writer.counts().extra_deaths;
    WriteMetadata(writer.subjects());
    folder_.Commit();
    report_.num_codes = static_cast<std::int64_t>(codes_.sorted.size());
    report_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return report_;
  }

 private:
  // By the size of the tables: compressed text grows by about ten, an event takes 40 bytes, a
  // partition a third of the memory.
  int ChoosePartitions() const {
    std::uintmax_t bytes = 0;
    for (const CsvTable& table : mapping_.tables) {
      std::error_code ignored;
      const auto size = fs::file_size(mapping_.folder / table.file, ignored);
      if (!ignored) bytes += size * (table.file.ends_with(".csv") ? 2 : 12);
    }
    const auto share = static_cast<std::uintmax_t>(options_.memory_bytes / 3);
    return static_cast<int>(std::clamp<std::uintmax_t>(bytes / share + 1, 1, 1024));
  }

  BoundEvent Bind(const CsvEvent& event, ColumnList& columns, std::uint32_t number) const {
    BoundEvent bound{&event, {}, 0, 0, 0, 0, {}, {}, 0, 0, 0, {}};
    for (const CodeTemplate& code : event.codes) {
      auto& places = bound.code_columns.emplace_back();
      for (const std::string& name : code.columns()) places.push_back(columns.Add(name));
    }
    if (event.value) bound.value = columns.Add(*event.value);
    if (event.text) bound.text = columns.Add(*event.text);
    if (event.time_column) bound.time = columns.Add(*event.time_column, false);
    if (event.birth_age) bound.age = columns.Add(*event.birth_age);
    for (const std::string& name : event.offset_columns) bound.offsets.push_back(columns.Add(name));
    for (const CsvCondition& condition : event.conditions) {
      bound.conditions.push_back(columns.Add(condition.column));
    }
    bound.sequence = static_cast<std::uint32_t>(std::clamp(event.order, 0, 1000)) << 20 | number;
    return bound;
  }

  void ReadTable(const CsvTable& table, std::uint32_t number) {
    ColumnList columns;
    const std::size_t who = columns.Add(table.key ? *table.key : *table.subject);
    std::vector<BoundEvent> events;
    for (const CsvEvent& event : table.events) {
      events.push_back(Bind(event, columns, number));
      events.back().number = narrow<std::uint16_t>(events.size() - 1);
    }
    report_.tables.push_back({table.file, 0, 0, 0, {}});
    IngestCsvReport::Table& counts = report_.tables.back();
    const fs::path file = mapping_.folder / table.file;
    ReadTextTable(file, columns.columns(), table.delimiter, [&](const TextBatch& batch) {
      if (batch.first_row + batch.rows > std::int64_t{0xFFFFFFFF}) {
        throw InputError("{}: more than 4,294,967,295 rows. Part the table.", file.string());
      }
      counts.rows += batch.rows;
      for (std::size_t i = 0; i < static_cast<std::size_t>(batch.rows); ++i) {
        AddRow(table, events, batch, i, batch.columns[who].text[i]);
      }
    });
    RequireFewLost(file.string(), counts.lost, counts.rows, mapping_.lost_share, table.allow_lost);
    for (const BoundEvent& event : events) {
      const std::string what =
          fmt::format("{}, event \"{}\"", file.string(), event.event->codes[0].text());
      RequireFewLost(what, event.lost, event.wanted, mapping_.lost_share, event.event->allow_lost);
      for (std::size_t k = 0; k < kNumLosses; ++k) counts.lost.count[k] += event.lost.count[k];
    }
  }

  void AddRow(const CsvTable& table, std::vector<BoundEvent>& events, const TextBatch& batch,
              std::size_t row, std::string_view id) {
    LossCounts& lost = report_.tables.back().lost;
    if (!table.key) {
      const std::optional<std::int64_t> subject = subjects_by_text_.IdOf(id, batch, row);
      if (!subject) {
        ++lost[Loss::kNoSubject];
        return;
      }
      for (BoundEvent& event : events) AddEvent(event, batch, row, *subject, nullptr);
      return;
    }
    const std::string key = PlainId(id, batch, row);
    const auto found = anchors_.find(key);
    if (found == anchors_.end()) {
      ++lost[key.empty() ? Loss::kNoSubject : Loss::kUnknownKey];
      return;
    }
    for (BoundEvent& event : events) {
      AddEvent(event, batch, row, found->second.subject_id, &found->second);
    }
  }

  static bool Holds(const BoundEvent& bound, const TextBatch& batch, std::size_t row,
                    const Anchor* anchor) {
    const CsvEvent& event = *bound.event;
    if (anchor != nullptr) {
      if (event.once == CsvEvent::Once::kPerGroup && !anchor->first_of_group) return false;
      if (event.once == CsvEvent::Once::kPerSubject && !anchor->first_of_subject) return false;
    }
    for (std::size_t i = 0; i < event.conditions.size(); ++i) {
      const bool matches =
          event.conditions[i].pattern.Matches(batch.columns[bound.conditions[i]].text[row]);
      if (matches == event.conditions[i].negate) return false;
    }
    return true;
  }

  // Times of one dataset count from one zero: local times beside times that were moved to UTC by
  // their offsets do not.
  void NoteClock(ParsedTime::Clock clock, const TextBatch& batch, std::size_t row) {
    if (mapping_.time_offsets != TimeOffsets::kRefuseMixed) return;
    local_clock_ = local_clock_ || clock == ParsedTime::Clock::kLocal;
    offset_clock_ = offset_clock_ || clock == ParsedTime::Clock::kOffset;
    if (!local_clock_ || !offset_clock_) return;
    throw InputError(
        "{}: the tables hold times with an offset from UTC and times without one. Say in the "
        "mapping "
        "what the former mean: `time_offsets: utc` moves them to UTC, `time_offsets: local` takes "
        "the time as it is written.",
        batch.Place(row));
  }

  FoundTime ColumnTime(const BoundEvent& bound, const TextBatch& batch, std::size_t row) {
    const TextColumn& column = batch.columns[bound.time];
    if (column.typed_time) {
      const std::int64_t time = column.time_us[row];
      if (time == kStaticTime) return {ParsedTime::Kind::kMissing, 0};
      if (column.local_clock) NoteClock(ParsedTime::Clock::kLocal, batch, row);
      return {ParsedTime::Kind::kTime, time};
    }
    const ParsedTime parsed =
        ParseTime(column.text[row], bound.event->time_format, mapping_.time_offsets);
    if (parsed.kind == ParsedTime::Kind::kTime) NoteClock(parsed.clock, batch, row);
    return {parsed.kind, parsed.time_us};
  }

  FoundTime BirthTime(const BoundEvent& bound, const TextBatch& batch, std::size_t row,
                      const Anchor& anchor) const {
    const std::string_view text = batch.columns[bound.age].text[row];
    if (IsMissing(text)) return {ParsedTime::Kind::kMissing, 0};
    const double age = NumberOf(mapping_.numbers, text);
    if (!(age >= 0.0 && age <= 200.0)) return {};
    const std::int64_t day =
        anchor.group_start_us - ((anchor.group_start_us % kDayUs) + kDayUs) % kDayUs;
    return {ParsedTime::Kind::kTime, day - static_cast<std::int64_t>(age * 365.25) * kDayUs};
  }

  // The largest of the offsets that are there.
  FoundTime OffsetTime(const BoundEvent& bound, const TextBatch& batch, std::size_t row,
                       const Anchor& anchor) const {
    if (bound.event->offset_minutes) {
      return {ParsedTime::Kind::kTime, anchor.zero_us + *bound.event->offset_minutes * kMinuteUs};
    }
    double minutes = kNaN;
    for (const std::size_t column : bound.offsets) {
      const std::string_view text = batch.columns[column].text[row];
      if (IsMissing(text)) continue;
      const double offset = NumberOf(mapping_.numbers, text);
      if (!(std::abs(offset) <= kMostMinutes)) return {};
      if (std::isnan(minutes) || offset > minutes) minutes = offset;
    }
    if (std::isnan(minutes)) return {ParsedTime::Kind::kMissing, 0};
    return {ParsedTime::Kind::kTime,
            anchor.zero_us + std::llround(minutes * static_cast<double>(kMinuteUs))};
  }

  FoundTime TimeOf(const BoundEvent& bound, const TextBatch& batch, std::size_t row,
                   const Anchor* anchor) {
    if (bound.event->is_static) return {ParsedTime::Kind::kTime, kStaticTime};
    if (bound.event->time_column) return ColumnTime(bound, batch, row);
    if (bound.event->birth_age) return BirthTime(bound, batch, row, *anchor);
    return OffsetTime(bound, batch, row, *anchor);
  }

  std::string CodeOf(const BoundEvent& bound, const TextBatch& batch, std::size_t row) const {
    std::string code;
    for (std::size_t i = 0; i < bound.event->codes.size(); ++i) {
      std::vector<std::string_view> texts;
      for (const std::size_t column : bound.code_columns[i]) {
        texts.push_back(batch.columns[column].text[row]);
      }
      bool complete = false;
      code = bound.event->codes[i].Expand(texts, &complete);
      if (complete) break;
    }
    return code;
  }

  // False where `require_value` leaves the row out.
  bool ValueOf(BoundEvent& bound, const TextBatch& batch, std::size_t row, float* value,
               std::string* text) const {
    const CsvEvent& event = *bound.event;
    if (event.value) {
      std::string_view given = batch.columns[bound.value].text[row];
      if (!event.value_suffix.empty() && given.ends_with(event.value_suffix)) {
        given.remove_suffix(event.value_suffix.size());
      }
      *value = static_cast<float>(NumberOf(mapping_.numbers, given));
      if (!std::isfinite(*value)) *value = kNaN;
      if (std::isnan(*value)) {
        const bool missing = IsMissing(given);
        if (event.require_value) {
          bound.wanted += missing ? 0 : 1;
          bound.lost[Loss::kNoNumber] += missing ? 0 : 1;
          return false;
        }
        *text = std::string(given);  // "none" and "N/A" are findings
      }
    }
    if (event.text && !batch.columns[bound.text].text[row].empty()) {
      *text = std::string(batch.columns[bound.text].text[row]);
    }
    return true;
  }

  // The event's time, or nothing where it is lost (counted) or the mapping wants no such event.
  std::optional<std::int64_t> WantedTime(BoundEvent& bound, const TextBatch& batch, std::size_t row,
                                         const Anchor* anchor) {
    const CsvEvent& event = *bound.event;
    const FoundTime found = TimeOf(bound, batch, row, anchor);
    const bool missing = found.kind == ParsedTime::Kind::kMissing;
    if (missing && event.empty_time == CsvEvent::EmptyTime::kSkip) return std::nullopt;
    ++bound.wanted;
    if (missing && event.empty_time == CsvEvent::EmptyTime::kStatic) return kStaticTime;
    if (found.kind != ParsedTime::Kind::kTime) {
      ++bound.lost[missing ? Loss::kNoTime : Loss::kUnreadableTime];
      return std::nullopt;
    }
    if (anchor != nullptr && !event.is_static && !event.birth_age &&
        (found.time_us < anchor->window_begin_us || found.time_us > anchor->window_end_us)) {
      ++bound.lost[Loss::kOutsideStay];
      return std::nullopt;
    }
    return found.time_us;
  }

  void AddEvent(BoundEvent& bound, const TextBatch& batch, std::size_t row, std::int64_t subject,
                const Anchor* anchor) {
    IngestCsvReport::Table& table = report_.tables.back();
    float value = kNaN;
    std::string text;
    std::optional<std::int64_t> time;
    const std::int64_t lost = bound.lost.total();
    if (Holds(bound, batch, row, anchor) && ValueOf(bound, batch, row, &value, &text)) {
      time = WantedTime(bound, batch, row, anchor);
    }
    if (!time) {
      table.skipped += bound.lost.total() == lost ? 1 : 0;
      return;
    }
    ++table.events;
    const std::int64_t source_row = batch.first_row + static_cast<std::int64_t>(row);
    Append({SubjectKey(subject), *time, code_pool_.Intern(CodeOf(bound, batch, row)), value,
            text.empty() ? kNoText : text_pool_.Intern(text), bound.sequence,
            narrow<std::uint32_t>(source_row), 0, bound.number});
  }

  void Append(const RawEvent& event) {
    const auto p = static_cast<std::size_t>(partitions_.PartitionOf(event.subject_key));
    buffers_[p].push_back(event);
    if (buffers_[p].size() >= 4096) Flush(p);
  }
  void Flush(std::size_t p) {
    partitions_.AppendRaw(static_cast<int>(p), buffers_[p]);
    buffers_[p].clear();
  }

  void WriteMetadata(std::vector<MedsSubjectSplit> subjects) {
    std::map<std::string, MedsCode> known;
    if (mapping_.codes_file) {
      for (CodeMetadata& code : ReadCodeMetadata(mapping_.folder / *mapping_.codes_file)) {
        known.try_emplace(code.code, MedsCode{code.code, code.description, code.parent_codes});
      }
    }
    std::vector<MedsCode> codes;
    for (const std::string& code : codes_.sorted) {
      const auto found = known.find(code);
      codes.push_back(found == known.end() ? MedsCode{code, "", {}} : found->second);
    }
    std::sort(subjects.begin(), subjects.end(),
              [](const auto& a, const auto& b) { return a.subject_id < b.subject_id; });
    WriteMedsMetadata(folder_.folder(), mapping_.dataset, codes, subjects);
  }

  const IngestCsvOptions& options_;
  const CsvMapping& mapping_;
  PartialFolder folder_;
  PartitionFiles partitions_;
  std::vector<std::vector<RawEvent>> buffers_;
  std::unordered_map<std::int64_t, Split> splits_;
  SubjectIds subjects_by_text_;
  Anchors anchors_;
  bool local_clock_ = false;   // a time without an offset was read
  bool offset_clock_ = false;  // and one with
  StringPool code_pool_, text_pool_;
  StringPool::Ranks codes_, texts_;
  IngestCsvReport report_;
};

}  // namespace

IngestCsvReport IngestCsv(const IngestCsvOptions& options) { return CsvIngester(options).Run(); }

}  // namespace sequela
