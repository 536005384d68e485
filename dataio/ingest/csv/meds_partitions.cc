#include "dataio/ingest/csv/meds_partitions.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <tuple>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

// Each has up to three spill files open.
constexpr std::int64_t kMostPartitions = 256;
constexpr std::size_t kLeastBuffer = 4 << 10;
constexpr std::size_t kLargestBuffer = 256 << 10;

// A partition takes a third of the memory; subjects are spread evenly, though not quite.
int ChoosePartitions(std::int64_t event_bytes, std::int64_t memory_bytes) {
  return static_cast<int>(
      std::clamp<std::int64_t>(event_bytes / (memory_bytes / 4) + 1, 1, kMostPartitions));
}

// The data files of one partition: one for each split that has a subject in it.
class SplitFiles {
 public:
  SplitFiles(fs::path data, int partition, MedsFileWriter::Options options)
      : data_(std::move(data)), partition_(partition), options_(options) {}
  MedsFileWriter& Of(Split split) {
    auto& file = files_[static_cast<std::size_t>(split)];
    if (!file) {
      file = std::make_unique<MedsFileWriter>(
          data_ / std::string(NameOf(split)) / fmt::format("{}.parquet", partition_), options_);
    }
    return *file;
  }
  void Finish() {
    for (auto& file : files_) {
      if (file) file->Finish();
    }
  }

 private:
  fs::path data_;
  int partition_;
  MedsFileWriter::Options options_;
  std::array<std::unique_ptr<MedsFileWriter>, 3> files_;
};

class PartitionWriter {
 public:
  using Written = MedsPartitions::Written;
  PartitionWriter(const PartitionFiles& files, int partition, const StringPool::Ranks& codes,
                  SplitFiles& out, Written& written)
      : codes_(codes),
        events_(files.TakeRaw(partition)),
        extras_(files.TakeExtras(partition)),
        texts_(files, partition),
        out_(out),
        written_(written) {
    const auto death = std::lower_bound(codes.sorted.begin(), codes.sorted.end(), "MEDS_DEATH");
    if (death != codes.sorted.end() && *death == "MEDS_DEATH") {
      death_ = static_cast<std::uint32_t>(death - codes.sorted.begin());
    }
  }

  void Write(const std::function<Split(std::int64_t)>& split_of) {
    std::sort(events_.begin(), events_.end(), [](const RawEvent& a, const RawEvent& b) {
      return std::tie(a.subject_key, a.time_us, a.file, a.row, a.column) <
             std::tie(b.subject_key, b.time_us, b.file, b.row, b.column);
    });
    for (auto begin = events_.begin(); begin != events_.end();) {
      const auto end = std::find_if(begin, events_.end(), [&](const RawEvent& event) {
        return event.subject_key != begin->subject_key;
      });
      const std::int64_t subject = SubjectOfKey(begin->subject_key);
      const Split split = split_of(subject);
      ++written_.subjects[static_cast<std::size_t>(split)];
      written_.splits.push_back({subject, split});
      WriteSubject(subject, split, {begin, end});
      begin = end;
    }
  }

 private:
  bool IsDeath(const RawEvent& event) const {
    return death_ && codes_.rank_of[event.code] == *death_;
  }

  // Of several deaths the last one counts.
  void WriteSubject(std::int64_t subject, Split split, std::span<const RawEvent> events) {
    auto deaths = std::count_if(events.begin(), events.end(),
                                [&](const RawEvent& event) { return IsDeath(event); });
    for (const RawEvent& event : events) {
      if (IsDeath(event) && --deaths > 0) {
        ++written_.extra_deaths;
        continue;
      }
      const std::string_view text =
          event.text == kNoText ? std::string_view() : texts_.Read(extras_[event.text]);
      out_.Of(split).Append(subject, event.time_us, codes_.sorted[codes_.rank_of[event.code]],
                            event.value, text);
      ++written_.events[static_cast<std::size_t>(split)];
    }
  }

  const StringPool::Ranks& codes_;
  std::vector<RawEvent> events_;
  std::vector<RowExtra> extras_;
  KeptTexts texts_;
  SplitFiles& out_;
  Written& written_;
  std::optional<std::uint32_t> death_;
};

}  // namespace

MedsPartitions::MedsPartitions(fs::path folder, const std::string& work, std::int64_t event_bytes,
                               std::int64_t memory_bytes)
    : folder_(std::move(folder)),
      memory_bytes_(memory_bytes),
      files_(folder_, work, ChoosePartitions(event_bytes, memory_bytes), 0, 1),
      buffers_(static_cast<std::size_t>(files_.count())),
      buffer_bytes_(std::clamp(static_cast<std::size_t>(memory_bytes) / 8 / buffers_.size(),
                               kLeastBuffer, kLargestBuffer)) {}

void MedsPartitions::Append(const MedsEvent& event) {
  const std::uint64_t key = SubjectKey(event.subject_id);
  const auto p = static_cast<std::size_t>(files_.PartitionOf(key));
  Buffer& buffer = buffers_[p];
  std::uint32_t text = kNoText;  // else its place among the partition's extras
  if (!event.text.empty()) {
    const std::size_t place = buffer.spilled_extras + buffer.extras.size();
    SEQUELA_CHECK(place < kFreeText, "{} texts in a partition", place);
    text = static_cast<std::uint32_t>(place);
    buffer.extras.push_back({event.sequence, event.row, kNoStay, buffer.texts.size(), 0,
                             narrow<std::uint32_t>(event.text.size()), 0});
    buffer.texts += event.text;
    has_texts_ = true;
  }
  buffer.events.push_back({key, event.time_us, codes_.Intern(event.code), event.value, text,
                           event.sequence, event.row, 0, event.number});
  const std::size_t bytes = buffer.events.size() * sizeof(RawEvent) +
                            buffer.extras.size() * sizeof(RowExtra) + buffer.texts.size();
  if (bytes >= buffer_bytes_) Flush(p);
}

void MedsPartitions::Flush(std::size_t partition) {
  Buffer& buffer = buffers_[partition];
  files_.AppendRaw(static_cast<int>(partition), buffer.events);
  files_.AppendExtras(static_cast<int>(partition), buffer.extras, buffer.texts);
  buffer.spilled_extras += static_cast<std::uint32_t>(buffer.extras.size());
  buffer.events.clear();
  buffer.extras.clear();
  buffer.texts.clear();
  // A text of many megabytes does not keep its room.
  if (buffer.texts.capacity() > 2 * buffer_bytes_) buffer.texts.shrink_to_fit();
}

MedsPartitions::Written MedsPartitions::Write(const std::function<Split(std::int64_t)>& split_of) {
  for (std::size_t p = 0; p < buffers_.size(); ++p) Flush(p);
  buffers_ = {};
  files_.CloseRaw();
  StringPool::Ranks codes = codes_.TakeRanks();
  MedsFileWriter::Options options;
  options.text_column = has_texts_;
  // Three files are open at once, and a row group lies twice in memory while it is compressed.
  options.row_group_bytes = std::clamp<std::int64_t>(memory_bytes_ / 16, 1 << 20, 64 << 20);
  Written written;
  for (int p = 0; p < files_.count(); ++p) {
    SplitFiles out(folder_ / "data", p, options);
    PartitionWriter(files_, p, codes, out, written).Write(split_of);
    out.Finish();
    files_.RemoveClean(p);
  }
  written.codes = std::move(codes.sorted);
  return written;
}

}  // namespace sequela
