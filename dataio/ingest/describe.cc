#include "dataio/ingest/describe.h"

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "dataio/base/counting_map.h"
#include "dataio/base/string_pool.h"
#include "dataio/ingest/fitting/statistics.h"
#include "dataio/ingest/reading/source_files.h"
#include "dataio/ingest/splits.h"
#include "dataio/meds/event_file.h"

namespace sequela {
namespace {

constexpr std::int64_t kSecondUs = 1'000'000;

class Describer {
 public:
  explicit Describer(const std::filesystem::path& source) : source_(FindSource(source)) {
    if (source_.splits_file) given_ = LoadSplits(*source_.splits_file);
    PathsSaySplits(source_, source_.splits_file.has_value());
  }

  DatasetDescription Run() {
    std::set<std::string> other;
    for (const SourceFile& source_file : source_.files) {
      const EventFile file = EventFile::Open(source_file.path, columns_);
      other.insert(file.column_names().begin(), file.column_names().end());
      folder_split_ = source_file.split;
      EventReadCounts ignored;
      for (int group = 0; group < file.num_row_groups(); ++group) {
        file.ReadRowGroup(
            group, [&](const EventBatch& batch) { Add(batch); }, ignored);
      }
    }
    for (const char* known : {"subject_id", "time", "code", "numeric_value", "text_value"}) {
      other.erase(known);
    }
    out_.skipped = source_.skipped;
    out_.unused_columns.assign(other.begin(), other.end());
    out_.files = static_cast<std::int64_t>(source_.files.size());
    Finish();
    return std::move(out_);
  }

 private:
  std::size_t SplitOf(std::int64_t subject, bool is_new) {
    if (folder_split_) return static_cast<std::size_t>(*folder_split_);
    const auto found = given_.find(subject);
    if (found != given_.end()) return static_cast<std::size_t>(found->second);
    out_.split_by_hash += is_new ? 1 : 0;
    return static_cast<std::size_t>(HashSplit(subject));
  }

  void Add(const EventBatch& batch) {
    std::vector<std::uint32_t> numbers;
    std::vector<bool> births;
    std::vector<bool> deaths;
    for (const std::string_view code : batch.code.dictionary) {
      numbers.push_back(codes_.Intern(code));
      births.push_back(code.starts_with("MEDS_BIRTH"));
      deaths.push_back(code.starts_with("MEDS_DEATH"));
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(batch.rows()); ++i) {
      const std::int64_t subject = batch.subject[i];
      if (!subject_ || *subject_ != subject) {
        subject_ = subject;
        const bool is_new = events_of_.try_emplace(subject, 0).second;
        split_ = SplitOf(subject, is_new);
        last_time_.reset();
        out_.parts[split_].subjects += is_new ? 1 : 0;
      }
      ++events_of_[subject];
      DatasetDescription::Part& part = out_.parts[split_];
      const std::uint32_t entry = batch.code.index[i];
      ++part.events;
      counts_.Add(static_cast<std::uint64_t>(split_) << 32 | numbers[entry]);
      const bool has_value = batch.value[i] == batch.value[i];
      part.with_value += has_value ? 1 : 0;
      part.text_only += !has_value && batch.text.index[i] != StringColumn::kNull ? 1 : 0;
      part.births += births[entry] ? 1 : 0;
      part.deaths += deaths[entry] ? 1 : 0;
      AddTime(part, batch.time_us[i], births[entry]);
    }
  }

  void AddTime(DatasetDescription::Part& part, std::int64_t time, bool is_birth) {
    if (time == kStaticTime) {
      ++part.static_events;
      return;
    }
    if (is_birth || (last_time_ && *last_time_ == time)) return;
    ++part.time_stamps;
    if (last_time_ && time > *last_time_) {
      gaps_.Add(static_cast<std::uint64_t>(RoundGap((time - *last_time_) / kSecondUs)));
    }
    last_time_ = time;
  }

  void Finish() {
    const StringPool::Ranks names = codes_.TakeRanks();
    std::vector<std::int64_t> totals(names.sorted.size());
    for (const auto& [key, count] : counts_.Sorted()) {
      ++out_.parts[key >> 32].codes;
      totals[names.rank_of[key & 0xFFFFFFFFU]] += static_cast<std::int64_t>(count);
    }
    out_.codes = static_cast<std::int64_t>(totals.size());
    out_.codes_once = std::count(totals.begin(), totals.end(), 1);
    std::vector<std::size_t> order(totals.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return totals[a] > totals[b]; });
    for (std::size_t i = 0; i < std::min<std::size_t>(order.size(), 10); ++i) {
      out_.commonest.emplace_back(names.sorted[order[i]], totals[order[i]]);
    }
    FinishGaps();
    std::vector<std::int64_t> events;
    for (const auto& entry : events_of_) events.push_back(entry.second);
    std::sort(events.begin(), events.end());
    for (std::size_t q = 0; q < 5 && !events.empty(); ++q) {
      out_.events_per_subject[q] = events[(events.size() - 1) * q / 4];
    }
  }

  void FinishGaps() {
    const auto gaps = gaps_.Sorted();
    std::uint64_t total = 0;
    for (const auto& entry : gaps) total += entry.second;
    for (std::uint64_t tenth = 0; total > 0 && tenth <= 10; ++tenth) {
      const std::uint64_t rank = std::min(total - 1, tenth * total / 10);
      std::uint64_t below = 0;
      for (const auto& [seconds, count] : gaps) {
        below += count;
        if (below <= rank) continue;
        out_.gap_deciles.push_back(static_cast<double>(seconds));
        break;
      }
    }
  }

  SourceDataset source_;
  EventColumns columns_;
  std::unordered_map<std::int64_t, Split> given_;
  std::optional<Split> folder_split_;
  StringPool codes_;
  CountingMap counts_;  // split << 32 | code number
  CountingMap gaps_;
  std::unordered_map<std::int64_t, std::int64_t> events_of_;
  std::optional<std::int64_t> subject_;
  std::optional<std::int64_t> last_time_;
  std::size_t split_ = 0;
  DatasetDescription out_;
};

}  // namespace

DatasetDescription DescribeDataset(const std::filesystem::path& source) {
  return Describer(source).Run();
}

}  // namespace sequela
