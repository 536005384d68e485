// What the vocabulary is fitted on: counts over the train split, merged by addition (workers, then
// ranks), so that they depend on nothing but the events.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dataio/base/counting_map.h"
#include "dataio/ingest/fitting/code_rules.h"
#include "dataio/ingest/ingest_settings.h"
#include "dataio/ingest/reading/counts.h"
#include "dataio/ingest/reading/event_records.h"

namespace sequela {

struct CodeStatistics {
  std::int64_t events = 0;          // timed, train
  std::int64_t subjects = 0;        // with such an event
  std::int64_t value_subjects = 0;  // with such an event that has a plausible value
  std::int64_t static_events = 0;
  std::int64_t static_subjects = 0;
};

struct SplitTotals {
  std::int64_t subjects = 0;
  std::int64_t events = 0;
};

class Statistics {
 public:
  // Lists the subjects of codes that have fewer than `rare_subjects`.
  Statistics(std::size_t num_codes, int rare_subjects);

  void Add(const CleanPartition& partition, const std::vector<CodeRule>& rules,
           const IngestSettings& settings);
  void Merge(const Statistics& other);
  std::string Pack() const;
  void MergePacked(std::string_view packed);

  Findings findings;
  std::vector<CodeStatistics> codes;
  SplitTotals totals[3];
  // Timed subjects of each code, the first `rare_subjects` met: all of a rarer code's.
  std::vector<std::vector<std::int64_t>> timed_subjects;
  std::vector<std::vector<std::int64_t>> static_subjects;
  CountingMap value_buckets;  // code << 16 | upper half of the value's OrderKey -> train events
  CountingMap text_subjects;  // code << 32 | text -> train subjects
  // gap bin << 48 | seconds rounded down to 12 significant bits (but not below the bin) -> train
  // gaps
  CountingMap gaps;

 private:
  void AddTrainSubject(const SubjectRecord& subject, const CleanEvent* events,
                       const std::vector<CodeRule>& rules, const IngestSettings& settings);
  void AddStatic(const SubjectRecord& subject, std::uint32_t code);
  void AddTimed(const SubjectRecord& subject, std::uint32_t code);
  // The event's value or text, of the subject that is being added, as are all of these.
  void AddResult(const CleanEvent& event, const CodeRule& rule, const IngestSettings& settings);
  void AddGap(std::int64_t gap_us, const IngestSettings& settings);  // 0: none
  // Whether `last_subject` (of LastSeen) is not this subject yet; from now on it is.
  bool IsFirst(std::uint32_t& last_subject) const;

  int rare_subjects_;
  // Per code: the last train subject (counted from 1) that was seen with it.
  struct LastSeen {
    std::uint32_t timed = 0, value = 0, fact = 0;
  };
  std::vector<LastSeen> last_seen_;
  std::uint32_t subject_number_ = 0;
  std::vector<std::uint64_t> subject_texts_;
};

// The bin of `edges` (lower edges, ascending, the first 0) that a gap falls into.
std::size_t GapBin(const std::vector<std::int64_t>& edges, std::int64_t seconds);
// Seconds rounded down to 12 significant bits.
std::int64_t RoundGap(std::int64_t seconds);

}  // namespace sequela
