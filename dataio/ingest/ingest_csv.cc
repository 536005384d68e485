#include "dataio/ingest/ingest_csv.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <map>
#include <memory>
#include <unordered_map>

#include "dataio/base/string_pool.h"
#include "dataio/ingest/csv/csv_anchors.h"
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
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// "2180-03-23 11:51:00", "2180-03-23T11:51:00.25", "2180-03-23"; or by a strptime format.
// kStaticTime for an empty or unreadable text.
std::int64_t ParseTime(std::string_view text, const std::string& format) {
  std::tm parts{};
  const std::string copy(text);
  const char* rest = nullptr;
  if (!format.empty()) {
    rest = ::strptime(copy.c_str(), format.c_str(), &parts);
  } else {
    rest = ::strptime(copy.c_str(), "%Y-%m-%d", &parts);
    if (rest != nullptr && (*rest == ' ' || *rest == 'T')) {
      rest = ::strptime(rest + 1, "%H:%M:%S", &parts);
    }
  }
  if (rest == nullptr) return kStaticTime;
  std::int64_t micros = 0;
  if (*rest == '.') {
    std::int64_t unit = 100'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, unit /= 10) micros += (*rest - '0') * unit;
  }
  if (*rest != '\0' && *rest != 'Z') return kStaticTime;
  return static_cast<std::int64_t>(::timegm(&parts)) * 1'000'000 + micros;
}

// The columns that a table's events need, and where each is.
class ColumnList {
 public:
  std::size_t Add(const std::string& name) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found != names_.end()) return static_cast<std::size_t>(found - names_.begin());
    names_.push_back(name);
    return names_.size() - 1;
  }
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
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
};

class CsvIngester {
 public:
  explicit CsvIngester(const IngestCsvOptions& options)
      : options_(options),
        mapping_(options.mapping),
        folder_(options.out),
        partitions_(folder_.folder(), folder_.work_name(), ChoosePartitions(), 0, 1),
        buffers_(static_cast<std::size_t>(partitions_.count())) {
    if (options.note && !folder_.takeover().empty()) options.note(folder_.takeover());
    if (mapping_.splits_file) splits_ = LoadSplits(mapping_.folder / *mapping_.splits_file);
  }

  IngestCsvReport Run() {
    const auto begin = std::chrono::steady_clock::now();
    if (mapping_.anchors) anchors_ = LoadAnchors(mapping_);
    std::uint32_t number = 0;
    for (const CsvTable& table : mapping_.tables) ReadTable(table, number++);
    for (std::size_t p = 0; p < buffers_.size(); ++p) Flush(p);
    partitions_.CloseRaw();
    codes_ = code_pool_.TakeRanks();
    texts_ = text_pool_.TakeRanks();
    for (int p = 0; p < partitions_.count(); ++p) WritePartition(p);
    WriteMetadata();
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
    BoundEvent bound{&event, {}, 0, 0, 0, 0, {}, {}, 0};
    for (const CodeTemplate& code : event.codes) {
      auto& places = bound.code_columns.emplace_back();
      for (const std::string& name : code.columns()) places.push_back(columns.Add(name));
    }
    if (event.value) bound.value = columns.Add(*event.value);
    if (event.text) bound.text = columns.Add(*event.text);
    if (event.time_column) bound.time = columns.Add(*event.time_column);
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
    for (const CsvEvent& event : table.events) events.push_back(Bind(event, columns, number));
    report_.tables.push_back({table.file, 0, 0, 0, 0, 0});
    file_ = mapping_.folder / table.file;
    ReadTextTable(file_, columns.names(), [&](const TextBatch& batch) {
      report_.tables.back().rows += batch.rows;
      for (std::size_t i = 0; i < static_cast<std::size_t>(batch.rows); ++i) {
        const std::string_view id = batch.columns[who].text[i];
        const Anchor* anchor = nullptr;
        if (table.key) {
          const auto found = anchors_.find(std::string(id));
          if (found == anchors_.end()) {
            ++report_.tables.back().unknown_key;
            continue;
          }
          anchor = &found->second;
        }
        const std::int64_t subject =
            anchor != nullptr ? anchor->subject_id : SubjectIdOf(mapping_, id);
        for (const BoundEvent& event : events) AddEvent(event, batch, i, subject, anchor);
      }
    });
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

  std::int64_t TimeOf(const BoundEvent& bound, const TextBatch& batch, std::size_t row,
                      const Anchor* anchor) const {
    const CsvEvent& event = *bound.event;
    if (event.time_column) {
      const TextColumn& column = batch.columns[bound.time];
      return column.is_time() ? column.time_us[row]
                              : ParseTime(column.text[row], event.time_format);
    }
    if (event.birth_age) {
      const double age = NumberOf(mapping_, batch.columns[bound.age].text[row]);
      if (std::isnan(age)) return kStaticTime;
      const std::int64_t day =
          anchor->group_start_us - ((anchor->group_start_us % kDayUs) + kDayUs) % kDayUs;
      return day - static_cast<std::int64_t>(age * 365.25) * kDayUs;
    }
    double minutes = event.offset_minutes ? static_cast<double>(*event.offset_minutes)
                                          : std::numeric_limits<double>::quiet_NaN();
    for (const std::size_t column : bound.offsets) {
      const double offset = NumberOf(mapping_, batch.columns[column].text[row]);
      if (std::isnan(minutes) || offset > minutes) minutes = offset;
    }
    if (std::isnan(minutes)) return kStaticTime;
    return anchor->zero_us + static_cast<std::int64_t>(minutes) * kMinuteUs;
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

  void AddEvent(const BoundEvent& bound, const TextBatch& batch, std::size_t row,
                std::int64_t subject, const Anchor* anchor) {
    const CsvEvent& event = *bound.event;
    if (!Holds(bound, batch, row, anchor)) return;
    float value = kNaN;
    std::string text;
    if (event.value) {
      std::string_view given = batch.columns[bound.value].text[row];
      if (!event.value_suffix.empty() && given.ends_with(event.value_suffix)) {
        given.remove_suffix(event.value_suffix.size());
      }
      const double number = NumberOf(mapping_, given);
      value = static_cast<float>(number);
      if (std::isnan(number)) text = std::string(given);
      if (std::isnan(number) && event.require_value) return;
    }
    if (event.text) text = std::string(batch.columns[bound.text].text[row]);
    IngestCsvReport::Table& table = report_.tables.back();
    std::int64_t time = kStaticTime;
    if (!event.is_static) {
      time = TimeOf(bound, batch, row, anchor);
      const bool may_be_null = event.time_column && (batch.columns[bound.time].is_time() ||
                                                     batch.columns[bound.time].text[row].empty());
      if (time == kStaticTime && !may_be_null) {
        ++table.no_time;
        return;
      }
    }
    if (anchor != nullptr && !event.is_static && !event.birth_age &&
        (time < anchor->window_begin_us || time > anchor->window_end_us)) {
      ++table.outside_stay;
      return;
    }
    ++table.events;
    const std::int64_t source_row = batch.first_row + static_cast<std::int64_t>(row);
    Append({SubjectKey(subject), time, code_pool_.Intern(CodeOf(bound, batch, row)), value,
            text.empty() ? kNoText : text_pool_.Intern(text), bound.sequence,
            narrow<std::uint32_t>(source_row), 0});
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

  Split SplitOf(std::int64_t subject) const {
    const auto found = splits_.find(subject);
    return found == splits_.end() ? HashSplit(subject) : found->second;
  }

  // A subject's rows together in one file, in order of time.
  void WritePartition(int partition) {
    std::vector<RawEvent> events = partitions_.TakeRaw(partition);
    std::sort(events.begin(), events.end(), [](const RawEvent& a, const RawEvent& b) {
      return std::tie(a.subject_key, a.time_us, a.file, a.row) <
             std::tie(b.subject_key, b.time_us, b.file, b.row);
    });
    std::array<std::unique_ptr<MedsFileWriter>, 3> files;
    const auto death = std::lower_bound(codes_.sorted.begin(), codes_.sorted.end(), "MEDS_DEATH") -
                       codes_.sorted.begin();
    for (auto begin = events.begin(); begin != events.end();) {
      const auto end = std::find_if(begin, events.end(), [&](const RawEvent& event) {
        return event.subject_key != begin->subject_key;
      });
      const std::int64_t subject = SubjectOfKey(begin->subject_key);
      const Split split = SplitOf(subject);
      auto& file = files[static_cast<std::size_t>(split)];
      if (!file) {
        file = std::make_unique<MedsFileWriter>(
            folder_.folder() / "data" / std::string(NameOf(split)) /
                fmt::format("{}.parquet", partition),
            MedsFileWriter::Options{!texts_.sorted.empty(), 1 << 20});
      }
      ++report_.subjects[static_cast<std::size_t>(split)];
      const bool has_death = static_cast<std::size_t>(death) < codes_.sorted.size() &&
                             codes_.sorted[static_cast<std::size_t>(death)] == "MEDS_DEATH";
      const RawEvent* last_death = nullptr;
      for (auto event = begin; has_death && event != end; ++event) {
        if (codes_.rank_of[event->code] == static_cast<std::uint32_t>(death)) last_death = &*event;
      }
      for (auto event = begin; event != end; ++event) {
        const std::uint32_t code = codes_.rank_of[event->code];
        if (last_death != nullptr && code == static_cast<std::uint32_t>(death) &&
            &*event != last_death) {
          ++report_.extra_deaths;
          continue;
        }
        const std::string_view text =
            event->text == kNoText ? std::string_view()
                                   : std::string_view(texts_.sorted[texts_.rank_of[event->text]]);
        file->Append(subject, event->time_us, codes_.sorted[code], event->value, text);
        ++report_.events[static_cast<std::size_t>(split)];
      }
      subjects_.push_back({subject, split});
      begin = end;
    }
    for (auto& file : files) {
      if (file) file->Finish();
    }
  }

  void WriteMetadata() {
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
    std::sort(subjects_.begin(), subjects_.end(),
              [](const auto& a, const auto& b) { return a.subject_id < b.subject_id; });
    WriteMedsMetadata(folder_.folder(), mapping_.dataset, codes, subjects_);
  }

  const IngestCsvOptions& options_;
  const CsvMapping& mapping_;
  PartialFolder folder_;
  PartitionFiles partitions_;
  std::vector<std::vector<RawEvent>> buffers_;
  std::unordered_map<std::int64_t, Split> splits_;
  Anchors anchors_;
  fs::path file_;
  StringPool code_pool_, text_pool_;
  StringPool::Ranks codes_, texts_;
  std::vector<MedsSubjectSplit> subjects_;
  IngestCsvReport report_;
};

}  // namespace

IngestCsvReport IngestCsv(const IngestCsvOptions& options) { return CsvIngester(options).Run(); }

}  // namespace sequela
