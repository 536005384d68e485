#include "dataio/ingest/fitting/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "dataio/ingest/fitting/clean_events.h"
#include "dataio/ingest/quantiles.h"
#include "dataio/ingest/reading/bytes.h"

namespace sequela {
namespace {

constexpr std::int64_t kSecondUs = 1'000'000;

// Lists a subject once, up to `limit` subjects.
void List(std::vector<std::int64_t>& subjects, std::int64_t id, int limit) {
  if (subjects.size() < static_cast<std::size_t>(limit)) subjects.push_back(id);
}

void MergeLists(std::vector<std::vector<std::int64_t>>& to,
                const std::vector<std::vector<std::int64_t>>& from, int limit) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    for (const std::int64_t id : from[i]) List(to[i], id, limit);
  }
}

}  // namespace

std::size_t GapBin(const std::vector<std::int64_t>& edges, std::int64_t seconds) {
  const auto above = std::upper_bound(edges.begin(), edges.end(), seconds);
  return static_cast<std::size_t>(above - edges.begin()) - (above == edges.begin() ? 0 : 1);
}

std::int64_t RoundGap(std::int64_t seconds) {
  const int bits = std::bit_width(static_cast<std::uint64_t>(seconds));
  return bits <= 12 ? seconds : seconds >> (bits - 12) << (bits - 12);
}

Statistics::Statistics(std::size_t num_codes, int rare_subjects)
    : codes(num_codes),
      timed_subjects(num_codes),
      static_subjects(num_codes),
      rare_subjects_(rare_subjects),
      last_seen_(num_codes) {}

void Statistics::Add(const CleanPartition& partition, const std::vector<CodeRule>& rules,
                     const IngestSettings& settings) {
  const CleanEvent* events = partition.events.data();
  for (const SubjectRecord& subject : partition.subjects) {
    SplitTotals& total = totals[subject.split];
    ++total.subjects;
    total.events += subject.num_static + subject.num_timed;
    if (static_cast<Split>(subject.split) == Split::kTrain) {
      AddTrainSubject(subject, events, rules, settings);
    }
    events += subject.num_static + subject.num_timed;
  }
}

void Statistics::AddTrainSubject(const SubjectRecord& subject, const CleanEvent* events,
                                 const std::vector<CodeRule>& rules,
                                 const IngestSettings& settings) {
  ++subject_number_;
  subject_texts_.clear();
  for (std::uint32_t i = 0; i < subject.num_static; ++i) AddStatic(subject, events[i].code);
  const CleanEvent* timed = events + subject.num_static;
  for (std::uint32_t i = 0; i < subject.num_timed; ++i) {
    AddTimed(subject, timed[i].code);
    AddResult(timed[i], rules[timed[i].code], settings);
    if (i > 0) AddGap(timed[i].time_us - timed[i - 1].time_us, settings);
  }
  std::sort(subject_texts_.begin(), subject_texts_.end());
  subject_texts_.erase(std::unique(subject_texts_.begin(), subject_texts_.end()),
                       subject_texts_.end());
  for (const std::uint64_t pair : subject_texts_) text_subjects.Add(pair);
}

bool Statistics::IsFirst(std::uint32_t& last_subject) const {
  if (last_subject == subject_number_) return false;
  last_subject = subject_number_;
  return true;
}

void Statistics::AddStatic(const SubjectRecord& subject, std::uint32_t code) {
  ++codes[code].static_events;
  if (!IsFirst(last_seen_[code].fact)) return;
  ++codes[code].static_subjects;
  List(static_subjects[code], subject.subject_id, rare_subjects_);
}

void Statistics::AddTimed(const SubjectRecord& subject, std::uint32_t code) {
  ++codes[code].events;
  if (!IsFirst(last_seen_[code].timed)) return;
  ++codes[code].subjects;
  List(timed_subjects[code], subject.subject_id, rare_subjects_);
}

void Statistics::AddResult(const CleanEvent& event, const CodeRule& rule,
                           const IngestSettings& settings) {
  if (std::isnan(event.value)) {
    if (event.text < kFreeText && settings.text_results) {
      subject_texts_.push_back(static_cast<std::uint64_t>(event.code) << 32 | event.text);
    }
    return;
  }
  if (!IsPlausible(rule, event.value)) return;
  if (IsFirst(last_seen_[event.code].value)) ++codes[event.code].value_subjects;
  value_buckets.Add(static_cast<std::uint64_t>(event.code) << 16 | OrderKey(event.value) >> 16);
}

void Statistics::AddGap(std::int64_t gap_us, const IngestSettings& settings) {
  if (gap_us == 0) return;
  const std::int64_t seconds = gap_us / kSecondUs;
  const std::size_t bin = GapBin(settings.gap_edges_seconds, seconds);
  const std::int64_t rounded = std::max(RoundGap(seconds), settings.gap_edges_seconds[bin]);
  gaps.Add(static_cast<std::uint64_t>(bin) << 48 | static_cast<std::uint64_t>(rounded));
}

void Statistics::Merge(const Statistics& other) {
  findings.Merge(other.findings);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i].events += other.codes[i].events;
    codes[i].subjects += other.codes[i].subjects;
    codes[i].value_subjects += other.codes[i].value_subjects;
    codes[i].static_events += other.codes[i].static_events;
    codes[i].static_subjects += other.codes[i].static_subjects;
  }
  for (int split = 0; split < 3; ++split) {
    totals[split].subjects += other.totals[split].subjects;
    totals[split].events += other.totals[split].events;
  }
  MergeLists(timed_subjects, other.timed_subjects, rare_subjects_);
  MergeLists(static_subjects, other.static_subjects, rare_subjects_);
  value_buckets.Merge(other.value_buckets);
  text_subjects.Merge(other.text_subjects);
  gaps.Merge(other.gaps);
}

std::string Statistics::Pack() const {
  ByteWriter bytes;
  bytes.Put(findings);
  bytes.Put(codes);
  for (const SplitTotals& total : totals) bytes.Put(total);
  bytes.Put(timed_subjects);
  bytes.Put(static_subjects);
  bytes.Put(value_buckets);
  bytes.Put(text_subjects);
  bytes.Put(gaps);
  return bytes.Take();
}

void Statistics::MergePacked(std::string_view packed) {
  Statistics other(codes.size(), rare_subjects_);
  ByteReader bytes(packed);
  bytes.Get(other.findings);
  bytes.Get(other.codes);
  for (SplitTotals& total : other.totals) bytes.Get(total);
  bytes.Get(other.timed_subjects);
  bytes.Get(other.static_subjects);
  bytes.AddTo(other.value_buckets);
  bytes.AddTo(other.text_subjects);
  bytes.AddTo(other.gaps);
  Merge(other);
}

}  // namespace sequela
