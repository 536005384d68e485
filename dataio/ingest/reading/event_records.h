// Events on their way from Parquet to tokens, as they lie in memory and in the spill files of one
// run.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "dataio/store/chain_store.h"
#include "kernels/base/philox.h"

namespace sequela {

// Numbers of texts. Texts are trimmed and in lower case; longer ones are free text.
inline constexpr std::uint32_t kNoText = 0xFFFFFFFFU;
inline constexpr std::uint32_t kFreeText = 0xFFFFFFFEU;

// Subjects are ordered by a bijective mix of their id, which spreads them evenly over partitions
// and shards whatever the ids look like; the mix is what is stored on the way.
inline std::uint64_t SubjectKey(std::int64_t subject_id) {
  return MixBits(static_cast<std::uint64_t>(subject_id));
}
// The inverse of SubjectKey.
inline std::int64_t SubjectOfKey(std::uint64_t key) {
  key = (key ^ (key >> 31) ^ (key >> 62)) * 0x319642b2d24d8ec3ULL;
  key = (key ^ (key >> 27) ^ (key >> 54)) * 0x96de1b173f119089ULL;
  return static_cast<std::int64_t>(key ^ (key >> 30) ^ (key >> 60));
}

// An event as read. Before remapping, `code` and `text` are numbers of the run's StringPools.
struct RawEvent {
  std::uint64_t subject_key;
  std::int64_t time_us;  // kStaticTime for none
  std::uint32_t code;
  float value;  // NaN for none
  std::uint32_t text;
  std::uint32_t file;    // in the sorted list of files
  std::uint32_t row;     // in the file
  std::uint16_t reader;  // the rank whose string numbers these are
  std::uint16_t column;  // 0: the row's own event; else, from 1, the event column it is made of
};
static_assert(sizeof(RawEvent) == 40);

// An event that will be in the store; code and text are ranks in sorted order.
struct CleanEvent {
  std::int64_t time_us;
  std::uint32_t code;
  float value;
  std::uint32_t text;
  std::uint32_t extra = 0;  // 1 + its place in CleanPartition::extras; 0: none
};
static_assert(sizeof(CleanEvent) == 24);

// What only some settings keep of a row: its stay, and its text as it is written in the records.
struct RowExtra {
  std::uint32_t file;
  std::uint32_t row;
  std::int64_t stay;          // kNoStay for none
  std::uint64_t text_offset;  // in the partition's text file of `rank`
  std::uint64_t text_hash;    // 0 for no text
  std::uint32_t text_size;
  std::uint32_t rank;

  // Extras of equal keys say the same: texts of one length and one 64-bit hash are taken as equal.
  auto Key() const { return std::make_tuple(stay, text_hash, text_size); }
  // The stay alone: what events made of other columns have of the row.
  RowExtra WithoutText() const { return {file, row, stay, 0, 0, 0, rank}; }
};
static_assert(sizeof(RowExtra) == 40);
inline constexpr RowExtra kNoExtra{0, 0, kNoStay, 0, 0, 0, 0};

struct SubjectRecord {
  std::int64_t subject_id;
  std::uint32_t num_static;
  std::uint32_t num_timed;
  std::uint32_t split;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(SubjectRecord) == 24);

// Whole subjects in their final order; a subject's static events stand before its timed ones.
struct CleanPartition {
  std::vector<SubjectRecord> subjects;
  std::vector<CleanEvent> events;
  std::vector<RowExtra> extras;  // of the events, in no order

  const RowExtra& ExtraOf(const CleanEvent& event) const {
    return event.extra == 0 ? kNoExtra : extras[event.extra - 1];
  }
};

}  // namespace sequela
