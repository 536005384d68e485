// The events of ingest-csv into the event files of a MEDS dataset.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dataio/base/split.h"
#include "dataio/base/string_pool.h"
#include "dataio/ingest/reading/event_records.h"
#include "dataio/meds/meds_writer.h"

namespace sequela {

// One thread at a time.
class CsvDatasetWriter {
 public:
  struct Counts {
    std::array<std::int64_t, 3> subjects{};  // by split
    std::array<std::int64_t, 3> events{};
    std::int64_t extra_deaths = 0;  // earlier deaths of one subject, left out
  };

  // Writes `data`/SPLIT/PARTITION.parquet. Subjects that `splits` does not name are split by the hash
  // of their id. `codes` and `texts` are what the events' numbers stand for. Borrows all three.
  CsvDatasetWriter(std::filesystem::path data,
                   const std::unordered_map<std::int64_t, Split>& splits,
                   const StringPool::Ranks& codes, const StringPool::Ranks& texts);

  // All events of some subjects, in any order: a subject's lie together in one file, in order of
  // time. Throws MachineError.
  void WritePartition(std::vector<RawEvent> events, int partition);

  const Counts& counts() const { return counts_; }
  const std::vector<MedsSubjectSplit>& subjects() const { return subjects_; }

 private:
  using Files = std::array<std::unique_ptr<MedsFileWriter>, 3>;  // by split; made when needed

  Split SplitOf(std::int64_t subject) const;
  MedsFileWriter& FileOf(Split split, int partition, Files& files) const;
  bool IsDeath(const RawEvent& event) const;
  std::string_view TextOf(const RawEvent& event) const;
  void WriteSubject(std::span<const RawEvent> events, Split split, MedsFileWriter& file);

  std::filesystem::path data_;
  const std::unordered_map<std::int64_t, Split>& splits_;
  const StringPool::Ranks& codes_;
  const StringPool::Ranks& texts_;
  std::optional<std::uint32_t> death_;  // its place among the sorted codes, where there is one
  Counts counts_;
  std::vector<MedsSubjectSplit> subjects_;
};

}  // namespace sequela
