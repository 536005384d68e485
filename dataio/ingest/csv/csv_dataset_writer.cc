#include "dataio/ingest/csv/csv_dataset_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "dataio/ingest/splits.h"

namespace sequela {

CsvDatasetWriter::CsvDatasetWriter(std::filesystem::path data,
                                   const std::unordered_map<std::int64_t, Split>& splits,
                                   const StringPool::Ranks& codes, const StringPool::Ranks& texts)
    : data_(std::move(data)), splits_(splits), codes_(codes), texts_(texts) {
  const auto death = std::lower_bound(codes.sorted.begin(), codes.sorted.end(), "MEDS_DEATH");
  if (death != codes.sorted.end() && *death == "MEDS_DEATH") {
    death_ = static_cast<std::uint32_t>(death - codes.sorted.begin());
  }
}

void CsvDatasetWriter::WritePartition(std::vector<RawEvent> events, int partition) {
  std::sort(events.begin(), events.end(), [](const RawEvent& a, const RawEvent& b) {
    return std::tie(a.subject_key, a.time_us, a.file, a.row, a.column) <
           std::tie(b.subject_key, b.time_us, b.file, b.row, b.column);
  });
  Files files;
  for (auto begin = events.cbegin(); begin != events.cend();) {
    const auto end = std::find_if(begin, events.cend(), [&](const RawEvent& event) {
      return event.subject_key != begin->subject_key;
    });
    const Split split = SplitOf(SubjectOfKey(begin->subject_key));
    WriteSubject({begin, end}, split, FileOf(split, partition, files));
    begin = end;
  }
  for (auto& file : files) {
    if (file) file->Finish();
  }
}

Split CsvDatasetWriter::SplitOf(std::int64_t subject) const {
  const auto found = splits_.find(subject);
  return found == splits_.end() ? HashSplit(subject) : found->second;
}

MedsFileWriter& CsvDatasetWriter::FileOf(Split split, int partition, Files& files) const {
  auto& file = files[static_cast<std::size_t>(split)];
  if (!file) {
    file = std::make_unique<MedsFileWriter>(
        data_ / std::string(NameOf(split)) / fmt::format("{}.parquet", partition),
        MedsFileWriter::Options{!texts_.sorted.empty(), 1 << 20});
  }
  return *file;
}

bool CsvDatasetWriter::IsDeath(const RawEvent& event) const {
  return codes_.rank_of[event.code] == death_;
}

std::string_view CsvDatasetWriter::TextOf(const RawEvent& event) const {
  if (event.text == kNoText) return {};
  return texts_.sorted[texts_.rank_of[event.text]];
}

// A subject dies once: the last of its deaths counts.
void CsvDatasetWriter::WriteSubject(std::span<const RawEvent> events, Split split,
                                    MedsFileWriter& file) {
  const std::int64_t subject = SubjectOfKey(events.front().subject_key);
  const auto place = static_cast<std::size_t>(split);
  const RawEvent* last_death = nullptr;
  for (const RawEvent& event : events) {
    if (IsDeath(event)) last_death = &event;
  }
  for (const RawEvent& event : events) {
    if (IsDeath(event) && &event != last_death) {
      ++counts_.extra_deaths;
      continue;
    }
    file.Append(subject, event.time_us, codes_.sorted[codes_.rank_of[event.code]], event.value,
                TextOf(event));
    ++counts_.events[place];
  }
  ++counts_.subjects[place];
  subjects_.push_back({subject, split});
}

}  // namespace sequela
