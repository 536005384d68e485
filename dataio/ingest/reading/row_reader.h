// One worker of the first pass: rows of row groups into the partitions' raw events.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dataio/base/string_pool.h"
#include "dataio/ingest/reading/partition_files.h"
#include "dataio/ingest/reading/rank_facts.h"
#include "dataio/ingest/reading/read_events.h"
#include "dataio/meds/event_file.h"

namespace sequela {

// What the workers of a rank have in common.
struct ReadShared {
  const SourceDataset& source;
  const EventColumns& columns;
  const ReadOptions& options;
  PartitionFiles& partitions;
  std::uint16_t rank;
  StringPool codes;
  StringPool texts;
  std::vector<RowGroupEnds> ends;  // by task
};

// One thread at a time; several readers work side by side. Borrows what it shares.
class RowReader {
 public:
  explicit RowReader(ReadShared& shared);

  // Throws InputError (event_file.h) and MachineError (disk full).
  void Read(const ReadTask& task, RowGroupEnds& ends);
  void Flush();  // what is still buffered

  Findings TakeFindings();
  // By number of the code: timed events, and those of them on 00:00:00.
  const std::vector<std::int64_t>& timed() const { return timed_; }
  // By number of the code: the rows' own code, where columns are joined to it.
  const std::vector<std::string>& plain_codes() const { return plain_codes_; }
  const std::vector<std::int64_t>& midnight() const { return midnight_; }
  const std::set<std::int64_t>& excluded_seen() const { return excluded_seen_; }

 private:
  // Numbers of a dictionary's strings, kept while the dictionary stays the same. A string gets its
  // number with the first row that is kept: dictionaries may hold more than their rows use.
  struct Numbers {
    static constexpr std::uint32_t kUnset = 0xFFFFFFFDU;
    std::uint64_t serial = 0;
    std::vector<std::uint32_t> of;
    void Follow(const StringColumn& column);
  };
  // What waits to be appended to a partition.
  struct Buffer {
    std::vector<RawEvent> events;
    std::vector<RowExtra> extras;
    std::string texts;
  };

  void Consume(const EventBatch& batch);
  std::uint32_t CodeNumber(const EventBatch& batch, std::size_t i);
  std::uint32_t ModifiedCode(const EventBatch& batch, std::size_t i);
  std::uint32_t NumberOf(const std::string& code, const EventBatch& batch, std::size_t i);
  std::uint32_t TextNumber(const StringColumn& texts, std::size_t i);
  void AppendEventsOfColumns(const EventBatch& batch, std::size_t i, RawEvent event);
  void AppendExtra(const EventBatch& batch, std::size_t i, std::uint32_t row);
  void NoteOrder(std::int64_t subject, std::int64_t time);
  void NoteTime(std::uint32_t code, std::int64_t time);
  bool IsExcluded(std::int64_t subject);
  void Append(const RawEvent& event);
  void Flush(std::size_t partition);

  ReadShared& shared_;
  std::optional<EventFile> open_;
  std::uint32_t open_file_ = 0;
  RowGroupEnds* ends_ = nullptr;
  std::size_t capacity_ = 0;  // events of a buffer
  std::vector<Buffer> buffers_;
  Numbers code_numbers_;
  Numbers text_numbers_;
  std::vector<Numbers> column_numbers_;  // of the event columns
  EventReadCounts counts_;
  Findings findings_;
  std::vector<std::int64_t> timed_;
  std::vector<std::int64_t> midnight_;
  std::vector<std::string> plain_codes_;
  bool asked_ = false;
  std::int64_t last_asked_ = 0;
  bool last_excluded_ = false;
  std::set<std::int64_t> excluded_seen_;
};

}  // namespace sequela
