#include "dataio/ingest/csv/csv_events.h"

#include <cmath>

#include "dataio/base/missing_values.h"
#include "dataio/ingest/csv/csv_values.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

constexpr std::int64_t kMinuteUs = 60'000'000;
constexpr std::int64_t kDayUs = 86'400'000'000;
constexpr double kMostMinutes = 1000.0 * 366 * 24 * 60;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

bool Holds(const BoundEvent& bound, const TextBatch& batch, std::size_t row, const Anchor* anchor) {
  const CsvEvent& event = *bound.event;
  if (anchor != nullptr) {
    if (event.once == CsvEvent::Once::kPerGroup && !anchor->first_of_group) return false;
    if (event.once == CsvEvent::Once::kPerSubject && !anchor->first_of_subject) return false;
  }
  for (std::size_t i = 0; i < event.conditions.size(); ++i) {
    const bool matches =
        event.conditions[i].pattern.Matches(batch.columns[bound.conditions[i]].text[row]);
    if (matches == event.conditions[i].negate) return false;
  }
  return true;
}

std::string CodeOf(const BoundEvent& bound, const TextBatch& batch, std::size_t row) {
  std::string code;
  for (std::size_t i = 0; i < bound.event->codes.size(); ++i) {
    std::vector<std::string_view> texts;
    for (const std::size_t column : bound.code_columns[i]) {
      texts.push_back(batch.columns[column].text[row]);
    }
    bool complete = false;
    code = bound.event->codes[i].Expand(texts, &complete);
    if (complete) break;
  }
  return code;
}

}  // namespace

// Times of one dataset count from one zero: local times beside times that were moved to UTC by
// their offsets do not.
void CsvEventReader::NoteClock(ParsedTime::Clock clock, const TextBatch& batch, std::size_t row) {
  if (mapping_.time_offsets != TimeOffsets::kRefuseMixed) return;
  local_clock_ = local_clock_ || clock == ParsedTime::Clock::kLocal;
  offset_clock_ = offset_clock_ || clock == ParsedTime::Clock::kOffset;
  if (!local_clock_ || !offset_clock_) return;
  throw InputError(
      "{}: the tables hold times with an offset from UTC and times without one. Say in the "
      "mapping "
      "what the former mean: `time_offsets: utc` moves them to UTC, `time_offsets: local` takes "
      "the time as it is written.",
      batch.Place(row));
}

CsvEventReader::FoundTime CsvEventReader::ColumnTime(const BoundEvent& bound,
                                                     const TextBatch& batch, std::size_t row) {
  const TextColumn& column = batch.columns[bound.time];
  if (column.typed_time) {
    const std::int64_t time = column.time_us[row];
    if (time == kStaticTime) return {ParsedTime::Kind::kMissing, 0};
    if (column.local_clock) NoteClock(ParsedTime::Clock::kLocal, batch, row);
    return {ParsedTime::Kind::kTime, time};
  }
  const ParsedTime parsed =
      ParseTime(column.text[row], bound.event->time_format, mapping_.time_offsets);
  if (parsed.kind == ParsedTime::Kind::kTime) NoteClock(parsed.clock, batch, row);
  return {parsed.kind, parsed.time_us};
}

CsvEventReader::FoundTime CsvEventReader::BirthTime(const BoundEvent& bound, const TextBatch& batch,
                                                    std::size_t row, const Anchor& anchor) const {
  const std::string_view text = batch.columns[bound.age].text[row];
  if (IsMissing(text)) return {ParsedTime::Kind::kMissing, 0};
  const double age = NumberOf(mapping_.numbers, text);
  if (!(age >= 0.0 && age <= 200.0)) return {};
  const std::int64_t day =
      anchor.group_start_us - ((anchor.group_start_us % kDayUs) + kDayUs) % kDayUs;
  return {ParsedTime::Kind::kTime, day - static_cast<std::int64_t>(age * 365.25) * kDayUs};
}

// The largest of the offsets that are there.
CsvEventReader::FoundTime CsvEventReader::OffsetTime(const BoundEvent& bound,
                                                     const TextBatch& batch, std::size_t row,
                                                     const Anchor& anchor) const {
  if (bound.event->offset_minutes) {
    return {ParsedTime::Kind::kTime, anchor.zero_us + *bound.event->offset_minutes * kMinuteUs};
  }
  double minutes = kNaN;
  for (const std::size_t column : bound.offsets) {
    const std::string_view text = batch.columns[column].text[row];
    if (IsMissing(text)) continue;
    const double offset = NumberOf(mapping_.numbers, text);
    if (!(std::abs(offset) <= kMostMinutes)) return {};
    if (std::isnan(minutes) || offset > minutes) minutes = offset;
  }
  if (std::isnan(minutes)) return {ParsedTime::Kind::kMissing, 0};
  return {ParsedTime::Kind::kTime,
          anchor.zero_us + std::llround(minutes * static_cast<double>(kMinuteUs))};
}

CsvEventReader::FoundTime CsvEventReader::TimeOf(const BoundEvent& bound, const TextBatch& batch,
                                                 std::size_t row, const Anchor* anchor) {
  if (bound.event->is_static) return {ParsedTime::Kind::kTime, kStaticTime};
  if (bound.event->time_column) return ColumnTime(bound, batch, row);
  if (bound.event->birth_age) return BirthTime(bound, batch, row, *anchor);
  return OffsetTime(bound, batch, row, *anchor);
}

// False where `require_value` leaves the row out.
bool CsvEventReader::ReadValue(BoundEvent& bound, const TextBatch& batch, std::size_t row,
                               FoundEvent& found) const {
  const CsvEvent& event = *bound.event;
  if (event.value) {
    std::string_view given = batch.columns[bound.value].text[row];
    if (!event.value_suffix.empty() && given.ends_with(event.value_suffix)) {
      given.remove_suffix(event.value_suffix.size());
    }
    found.value = static_cast<float>(NumberOf(mapping_.numbers, given));
    if (!std::isfinite(found.value)) {
      found.value = kNaN;
      if (event.require_value) {
        const std::int64_t lost = IsMissing(given) ? 0 : 1;
        bound.wanted += lost;
        bound.lost[Loss::kNoNumber] += lost;
        return false;
      }
      found.text = std::string(given);  // "none" and "N/A" are findings
    }
  }
  if (event.text && !batch.columns[bound.text].text[row].empty()) {
    found.text = std::string(batch.columns[bound.text].text[row]);
  }
  return true;
}

// The event's time, or nothing where it is lost (counted) or the mapping wants no such event.
std::optional<std::int64_t> CsvEventReader::WantedTime(BoundEvent& bound, const TextBatch& batch,
                                                       std::size_t row, const Anchor* anchor) {
  const CsvEvent& event = *bound.event;
  const FoundTime found = TimeOf(bound, batch, row, anchor);
  const bool missing = found.kind == ParsedTime::Kind::kMissing;
  if (missing && event.empty_time == CsvEvent::EmptyTime::kSkip) return std::nullopt;
  ++bound.wanted;
  if (missing && event.empty_time == CsvEvent::EmptyTime::kStatic) return kStaticTime;
  if (found.kind != ParsedTime::Kind::kTime) {
    ++bound.lost[missing ? Loss::kNoTime : Loss::kUnreadableTime];
    return std::nullopt;
  }
  if (anchor != nullptr && !event.is_static && !event.birth_age &&
      (found.time_us < anchor->window_begin_us || found.time_us > anchor->window_end_us)) {
    ++bound.lost[Loss::kOutsideStay];
    return std::nullopt;
  }
  return found.time_us;
}

std::optional<FoundEvent> CsvEventReader::Read(BoundEvent& bound, const TextBatch& batch,
                                               std::size_t row, const Anchor* anchor) {
  if (!Holds(bound, batch, row, anchor)) return std::nullopt;
  FoundEvent found;
  if (!ReadValue(bound, batch, row, found)) return std::nullopt;
  const std::optional<std::int64_t> time = WantedTime(bound, batch, row, anchor);
  if (!time) return std::nullopt;
  found.time_us = *time;
  found.code = CodeOf(bound, batch, row);
  return found;
}

}  // namespace sequela
