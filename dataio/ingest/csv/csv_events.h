// What a table's row says of an event: whether there is one, its time, code, value and text.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "dataio/ingest/csv/bound_events.h"
#include "dataio/ingest/csv/csv_anchors.h"
#include "dataio/ingest/csv/csv_time.h"

namespace sequela {

struct FoundEvent {
  std::int64_t time_us = 0;  // kStaticTime for none
  std::string code;
  float value = std::numeric_limits<float>::quiet_NaN();  // NaN for none
  std::string text;                                       // empty for none
};

// For all tables of a mapping. One thread at a time.
class CsvEventReader {
 public:
  explicit CsvEventReader(const CsvMapping& mapping) : mapping_(mapping) {}

  // The event of the batch's row; nothing where it is lost, which `bound` counts, or where the
  // mapping wants none. `anchor`: of the row's key, or null. Throws InputError, naming the row, where
  // times with and without an offset from UTC meet and the mapping does not say what they mean.
  std::optional<FoundEvent> Read(BoundEvent& bound, const TextBatch& batch, std::size_t row,
                                 const Anchor* anchor);

 private:
  struct FoundTime {
    ParsedTime::Kind kind = ParsedTime::Kind::kUnreadable;
    std::int64_t time_us = 0;
  };
  void NoteClock(ParsedTime::Clock clock, const TextBatch& batch, std::size_t row);
  FoundTime ColumnTime(const BoundEvent& bound, const TextBatch& batch, std::size_t row);
  FoundTime BirthTime(const BoundEvent& bound, const TextBatch& batch, std::size_t row,
                      const Anchor& anchor) const;
  FoundTime OffsetTime(const BoundEvent& bound, const TextBatch& batch, std::size_t row,
                       const Anchor& anchor) const;
  FoundTime TimeOf(const BoundEvent& bound, const TextBatch& batch, std::size_t row,
                   const Anchor* anchor);
  bool ReadValue(BoundEvent& bound, const TextBatch& batch, std::size_t row,
                 FoundEvent& found) const;
  std::optional<std::int64_t> WantedTime(BoundEvent& bound, const TextBatch& batch, std::size_t row,
                                         const Anchor* anchor);

  const CsvMapping& mapping_;
  bool local_clock_ = false;   // a time without an offset was read
  bool offset_clock_ = false;  // and one with
};

}  // namespace sequela
