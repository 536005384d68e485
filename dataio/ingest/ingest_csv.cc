#include "dataio/ingest/ingest_csv.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <unordered_map>

#include "dataio/ingest/csv/csv_anchors.h"
#include "dataio/ingest/csv/csv_events.h"
#include "dataio/ingest/csv/meds_partitions.h"
#include "dataio/ingest/splits.h"
#include "dataio/meds/event_file.h"
#include "dataio/meds/text_table.h"
#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLeastMemory = 64 << 20;
constexpr std::int64_t kEventBytes = sizeof(RawEvent) + sizeof(RowExtra);  // in memory
// Of a row as CSV at the least: an id and a time, and then so many for each of its events.
constexpr std::int64_t kRowBytes = 12;
constexpr std::int64_t kFieldBytes = 2;
constexpr std::int64_t kCompression = 6;  // of compressed tables

// About what the events of all tables take in memory, by the sizes of the files.
std::int64_t EventBytes(const CsvMapping& mapping) {
  std::int64_t bytes = 0;
  for (const CsvTable& table : mapping.tables) {
    std::error_code ignored;  // reading says what is wrong with a table
    const auto size = fs::file_size(mapping.folder / table.file, ignored);
    if (ignored) continue;
    const auto text =
        static_cast<std::int64_t>(size) * (table.file.ends_with(".csv") ? 1 : kCompression);
    const auto events = static_cast<std::int64_t>(table.events.size());
    bytes += text / (kRowBytes + kFieldBytes * events) * events * kEventBytes;
  }
  return bytes;
}

std::int64_t CheckedMemory(std::int64_t bytes) {
  if (bytes >= kLeastMemory) return bytes;
  throw InputError("--memory: {} bytes; at least 64MiB are needed.", bytes);
}

class CsvIngester {
 public:
  explicit CsvIngester(const IngestCsvOptions& options)
      : mapping_(options.mapping),
        memory_bytes_(CheckedMemory(options.memory_bytes)),
        folder_(options.out),
        partitions_(folder_.folder(), folder_.work_name(), EventBytes(mapping_), memory_bytes_),
        subjects_(mapping_),
        events_(mapping_) {
    if (options.note && !folder_.takeover().empty()) options.note(folder_.takeover());
    if (mapping_.splits_file) splits_ = LoadSplits(mapping_.folder / *mapping_.splits_file);
  }

  IngestCsvReport Run() {
    const auto begin = std::chrono::steady_clock::now();
    if (mapping_.anchors) anchors_ = LoadAnchors(mapping_, subjects_);
    std::uint32_t number = 0;
    for (const CsvTable& table : mapping_.tables) ReadTable(table, number++);
    MedsPartitions::Written written = partitions_.Write([&](std::int64_t subject) {
      const auto found = splits_.find(subject);
      return found == splits_.end() ? HashSplit(subject) : found->second;
    });
    WriteMetadata(written);
    folder_.Commit();
    report_.subjects = written.subjects;
    report_.events = written.events;
    report_.extra_deaths = written.extra_deaths;
    report_.num_codes = static_cast<std::int64_t>(written.codes.size());
    report_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return report_;
  }

 private:
  void ReadTable(const CsvTable& table, std::uint32_t number) {
    ColumnList columns;
    const std::size_t who = columns.Add(table.key ? *table.key : *table.subject);
    std::vector<BoundEvent> events = BindEvents(table, number, columns);
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
      const std::optional<std::int64_t> subject = subjects_.IdOf(id, batch, row);
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

  void AddEvent(BoundEvent& bound, const TextBatch& batch, std::size_t row, std::int64_t subject,
                const Anchor* anchor) {
    IngestCsvReport::Table& table = report_.tables.back();
    const std::int64_t lost = bound.lost.total();
    const std::optional<FoundEvent> found = events_.Read(bound, batch, row, anchor);
    if (!found) {
      table.skipped += bound.lost.total() == lost ? 1 : 0;
      return;
    }
    ++table.events;
    const std::int64_t source_row = batch.first_row + static_cast<std::int64_t>(row);
    partitions_.Append({subject, found->time_us, found->code, found->value, found->text,
                        bound.sequence, narrow<std::uint32_t>(source_row), bound.number});
  }

  void WriteMetadata(MedsPartitions::Written& written) {
    std::map<std::string, MedsCode> known;
    if (mapping_.codes_file) {
      for (CodeMetadata& code : ReadCodeMetadata(mapping_.folder / *mapping_.codes_file)) {
        known.try_emplace(code.code, MedsCode{code.code, code.description, code.parent_codes});
      }
    }
    std::vector<MedsCode> codes;
    for (const std::string& code : written.codes) {
      const auto found = known.find(code);
      codes.push_back(found == known.end() ? MedsCode{code, "", {}} : found->second);
    }
    std::sort(written.splits.begin(), written.splits.end(),
              [](const auto& a, const auto& b) { return a.subject_id < b.subject_id; });
    WriteMedsMetadata(folder_.folder(), mapping_.dataset, codes, written.splits);
  }

  const CsvMapping& mapping_;
  std::int64_t memory_bytes_;
  PartialFolder folder_;
  MedsPartitions partitions_;
  std::unordered_map<std::int64_t, Split> splits_;
  SubjectIds subjects_;
  CsvEventReader events_;
  Anchors anchors_;
  IngestCsvReport report_;
};

}  // namespace

IngestCsvReport IngestCsv(const IngestCsvOptions& options) { return CsvIngester(options).Run(); }

}  // namespace sequela
