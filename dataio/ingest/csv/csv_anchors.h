// Stays: which subject a key belongs to and when its zero is.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "dataio/ingest/csv/csv_subjects.h"
#include "dataio/ingest/csv_mapping.h"

namespace sequela {

struct Anchor {
  std::int64_t subject_id = 0;
  std::int64_t zero_us = 0;  // the row's own zero: offsets count from here
  std::int64_t group_start_us = 0;
  std::int64_t window_begin_us = 0;  // a day before the group's or the row's start, the earlier
  std::int64_t window_end_us = 0;    // the group's end
  bool first_of_group = false;       // the row of the group that begins first
  bool first_of_subject = false;     // and of the subject's first group
};

using Anchors = std::unordered_map<std::string, Anchor>;

// Dates of the anchors' groups are known to the year: a group starts on the first of January of its
// year, at its time of day, or, where an earlier group of the subject has not ended two days
// before, on the third day after that one's end. Keys are in
// the form of PlainId. Throws InputError.
Anchors LoadAnchors(const CsvMapping& mapping, SubjectIds& ids);

}  // namespace sequela
