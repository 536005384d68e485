// Events on their way from Parquet to tokens, as they lie in memory and in the spill files of one
// run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataio/chain_store.h"
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
  std::uint32_t reader;  // the rank whose string numbers these are
};
static_assert(sizeof(RawEvent) == 40);

// An event that will be in the store; code and text are ranks in sorted order.
struct CleanEvent {
  std::int64_t time_us;
  std::uint32_t code;
  float value;
  std::uint32_t text;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(CleanEvent) == 24);

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
};

}  // namespace sequela
