// Times as text: ISO 8601, or by a strptime format. Safe for concurrent use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataio/ingest/csv_mapping.h"

namespace sequela {

struct ParsedTime {
  enum class Kind : std::uint8_t { kTime, kMissing, kUnreadable } kind = Kind::kUnreadable;
  std::int64_t time_us = 0;  // since 1970, after the offset where the rule is kUtc
  // What tells whether times of different tables count from one zero.
  enum class Clock : std::uint8_t { kNone, kLocal, kUtc, kOffset } clock = Clock::kNone;
};

// With an empty `format`: a date "2180-03-23", or with a time after a blank or a T: "11:51",
// "11:51:00", "11:51:00.25", and after it Z, UTC, GMT or an offset "+02:00", "+0200", "+02". With a
// format: what strptime reads, then a fraction and an offset as above where the format has no %z.
// Unreadable: other text, a date that no calendar has (30 February), a year before 1000, a fraction
// finer than a microsecond.
ParsedTime ParseTime(std::string_view text, const std::string& format, TimeOffsets rule);

// What a strptime format of a mapping cannot be: a message, or an empty text where all is well.
std::string FaultOfTimeFormat(const std::string& format);

// A text from left to right.
class TextScanner {
 public:
  explicit TextScanner(std::string_view text) : rest_(text) {}
  bool at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  bool Accept(std::string_view word);
  std::optional<int> Digits(std::size_t count);  // exactly so many
  std::string_view AllDigits();                  // as many as there are

 private:
  std::string_view rest_;
};

// "hh:mm", with ":ss" and then a fraction of up to six digits: microseconds since midnight. The hour
// may have one digit.
std::optional<std::int64_t> ReadClock(TextScanner& scanner);

}  // namespace sequela
