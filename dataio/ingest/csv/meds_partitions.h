// Events in any order to the data files of a MEDS dataset, each subject's together and in order of
// time: they lie in partitions of subjects on the disk until all are known, and their texts stay
// there, so that memory is bounded by the largest partition's events.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "dataio/base/string_pool.h"
#include "dataio/ingest/reading/event_records.h"
#include "dataio/ingest/reading/partition_files.h"
#include "dataio/meds/meds_writer.h"

namespace sequela {

// An event of the row `row` of a table. Those of one subject and time are written in order of
// sequence, row and number, which together are unique.
struct MedsEvent {
  std::int64_t subject_id = 0;
  std::int64_t time_us = 0;  // kStaticTime for none
  std::string_view code;
  float value = MedsFileWriter::kNoValue;
  std::string_view text;  // empty for none
  std::uint32_t sequence = 0;
  std::uint32_t row = 0;
  std::uint16_t number = 0;
};

// One thread at a time.
class MedsPartitions {
 public:
  struct Written {
    std::array<std::int64_t, 3> subjects{};  // by split
    std::array<std::int64_t, 3> events{};
    std::int64_t extra_deaths = 0;  // earlier deaths of one subject, left out
    std::vector<MedsSubjectSplit> splits;
    std::vector<std::string> codes;  // sorted
  };

  // `folder`: where the spill files and, below data/, the dataset's files are written; `work`: as
  // PartitionFiles has it. `event_bytes`: about what the events will take in memory together.
  MedsPartitions(std::filesystem::path folder, const std::string& work, std::int64_t event_bytes,
                 std::int64_t memory_bytes);

  // Throws MachineError (disk full).
  void Append(const MedsEvent& event);
  // Writes all data files; nothing may be appended afterwards. Throws MachineError.
  Written Write(const std::function<Split(std::int64_t subject_id)>& split_of);

 private:
  struct Buffer {
    std::vector<RawEvent> events;
    std::vector<RowExtra> extras;
    std::string texts;
    std::uint32_t spilled_extras = 0;
  };
  void Flush(std::size_t partition);

  std::filesystem::path folder_;
  std::int64_t memory_bytes_;
  PartitionFiles files_;
  std::vector<Buffer> buffers_;
  std::size_t buffer_bytes_;  // of one partition, before it is spilled
  bool has_texts_ = false;
  StringPool codes_;
};

}  // namespace sequela
