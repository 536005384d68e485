#include "dataio/ingest/csv/csv_time.h"

#include <chrono>
#include <ctime>

#include "dataio/ingest/csv/csv_values.h"

namespace sequela {
namespace {

using Kind = ParsedTime::Kind;
using Clock = ParsedTime::Clock;

constexpr std::int64_t kSecondUs = 1'000'000;
constexpr std::int64_t kMinuteUs = 60 * kSecondUs;
constexpr std::int64_t kDayUs = 24 * 60 * kMinuteUs;

// Midnight of a date that the calendar has, from the year 1000 on: earlier ones are years of two
// digits that were read as four.
std::optional<std::int64_t> DayUs(int year, int month, int day) {
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || year < 1000 || year > 9999) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count() * kDayUs;
}

// ".25" or ",25", also none: microseconds. Digits beyond the sixth must be zeros.
std::optional<std::int64_t> ReadFraction(TextScanner& scanner) {
  if (!scanner.Accept(".") && !scanner.Accept(",")) return 0;
  const std::string_view digits = scanner.AllDigits();
  if (digits.empty()) return std::nullopt;
  std::int64_t micros = 0;
  std::int64_t unit = kSecondUs / 10;
  for (const char digit : digits) {
    if (unit == 0 && digit != '0') return std::nullopt;
    micros += (digit - '0') * unit;
    unit /= 10;
  }
  return micros;
}

struct Offset {
  Clock clock = Clock::kLocal;
  std::int64_t us = 0;
};

// Nothing, Z, UTC, GMT, +02:00, +0200, +02; a blank may stand before it.
std::optional<Offset> ReadOffset(TextScanner& scanner) {
  if (scanner.at_end()) return Offset{};
  while (scanner.Accept(" ")) {
  }
  for (const char* name : {"Z", "z", "UTC", "GMT"}) {
    if (scanner.Accept(name)) return Offset{Clock::kUtc, 0};
  }
  const bool minus = scanner.Accept("-");
  if (!minus && !scanner.Accept("+")) return std::nullopt;
  const std::optional<int> hours = scanner.Digits(2);
  const bool more = scanner.Accept(":") || !scanner.at_end();
  const std::optional<int> minutes = more ? scanner.Digits(2) : 0;
  if (!hours || !minutes || *hours > 15 || *minutes > 59) return std::nullopt;
  const std::int64_t us = (*hours * 60 + *minutes) * kMinuteUs;
  return Offset{us == 0 ? Clock::kUtc : Clock::kOffset, minus ? -us : us};
}

ParsedTime TimeAt(std::int64_t clock_us, const Offset& offset, TimeOffsets rule) {
  if (rule == TimeOffsets::kLocal) return {Kind::kTime, clock_us, Clock::kLocal};
  return {Kind::kTime, clock_us - offset.us, offset.clock};
}

ParsedTime ParseIso(std::string_view text, TimeOffsets rule) {
  TextScanner scanner(text);
  const auto year = scanner.Digits(4);
  if (!year || !scanner.Accept("-")) return {};
  const auto month = scanner.Digits(2);
  if (!month || !scanner.Accept("-")) return {};
  const auto day = scanner.Digits(2);
  if (!day) return {};
  const auto midnight = DayUs(*year, *month, *day);
  if (!midnight) return {};
  if (scanner.at_end()) return {Kind::kTime, *midnight, Clock::kNone};
  if (!scanner.Accept("T") && !scanner.Accept(" ")) return {};
  const auto clock = ReadClock(scanner);
  if (!clock) return {};
  const auto offset = ReadOffset(scanner);
  if (!offset || !scanner.at_end()) return {};
  return TimeAt(*midnight + *clock, *offset, rule);
}

bool HasConversion(const std::string& format, std::string_view letters) {
  for (std::size_t i = 0; i + 1 < format.size(); ++i) {
    if (format[i] != '%') continue;
    ++i;
    while (i + 1 < format.size() &&
           std::string_view("EO_-0^#").find(format[i]) != std::string_view::npos) {
      ++i;
    }
    if (letters.find(format[i]) != std::string_view::npos) return true;
  }
  return false;
}

ParsedTime ParseByFormat(std::string_view text, const std::string& format, TimeOffsets rule) {
  std::tm parts{};
  const std::string copy(text);
  const char* end = ::strptime(copy.c_str(), format.c_str(), &parts);
  if (end == nullptr) return {};
  const auto midnight = DayUs(parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
  if (!midnight || parts.tm_sec > 59) return {};
  const std::int64_t clock =
      ((parts.tm_hour * 60LL + parts.tm_min) * 60 + parts.tm_sec) * kSecondUs;
  TextScanner rest(std::string_view(copy).substr(static_cast<std::size_t>(end - copy.c_str())));
  if (HasConversion(format, "z")) {
    if (!rest.at_end()) return {};
    const std::int64_t us = parts.tm_gmtoff * kSecondUs;
    return TimeAt(*midnight + clock, {us == 0 ? Clock::kUtc : Clock::kOffset, us}, rule);
  }
  if (rest.at_end() && !HasConversion(format, "HIklMSTRrXcs+")) {
    return {Kind::kTime, *midnight, Clock::kNone};
  }
  const auto fraction = ReadFraction(rest);
  if (!fraction) return {};
  const auto offset = ReadOffset(rest);
  if (!offset || !rest.at_end()) return {};
  return TimeAt(*midnight + clock + *fraction, *offset, rule);
}

}  // namespace

bool TextScanner::Accept(std::string_view word) {
  if (!rest_.starts_with(word)) return false;
  rest_.remove_prefix(word.size());
  return true;
}

std::optional<int> TextScanner::Digits(std::size_t count) {
  if (rest_.size() < count) return std::nullopt;
  int value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (rest_[i] < '0' || rest_[i] > '9') return std::nullopt;
    value = value * 10 + (rest_[i] - '0');
  }
  rest_.remove_prefix(count);
  return value;
}

std::string_view TextScanner::AllDigits() {
  std::size_t count = 0;
  while (count < rest_.size() && rest_[count] >= '0' && rest_[count] <= '9') ++count;
  const std::string_view digits = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return digits;
}

std::optional<std::int64_t> ReadClock(TextScanner& scanner) {
  const bool one_digit = scanner.rest().size() > 1 && scanner.rest()[1] == ':';
  const auto hour = scanner.Digits(one_digit ? 1 : 2);
  if (!hour || !scanner.Accept(":")) return std::nullopt;
  const auto minute = scanner.Digits(2);
  if (!minute || *hour > 23 || *minute > 59) return std::nullopt;
  const std::int64_t us = (*hour * 60LL + *minute) * kMinuteUs;
  if (!scanner.Accept(":")) return us;
  const auto second = scanner.Digits(2);
  if (!second || *second > 59) return std::nullopt;
  const auto fraction = ReadFraction(scanner);
  if (!fraction) return std::nullopt;
  return us + *second * kSecondUs + *fraction;
}

ParsedTime ParseTime(std::string_view text, const std::string& format, TimeOffsets rule) {
  text = Trim(text);
  if (IsMissing(text)) return {Kind::kMissing, 0, Clock::kNone};
  if (text.find('\0') != std::string_view::npos) return {};
  return format.empty() ? ParseIso(text, rule) : ParseByFormat(text, format, rule);
}

std::string FaultOfTimeFormat(const std::string& format) {
  if (HasConversion(format, "s")) {
    return "%s (seconds since 1970) is not read: write the times as dates";
  }
  if (HasConversion(format, "Z")) {
    return "%Z (a zone's name) tells no offset: write the offset and read it by %z";
  }
  const bool year = HasConversion(format, "YyDFxc+");
  const bool month = HasConversion(format, "mbBhjDFxcUW+");
  const bool day = HasConversion(format, "djeDFxcUW+");
  if (!year || !month || !day) {
    return "a format needs year, month and day: \"%d.%m.%Y %H:%M\" reads 31.12.2019 10:45";
  }
  if (HasConversion(format, "Il") && !HasConversion(format, "p")) {
    return "hours from 1 to 12 (%I) need AM or PM (%p); %H reads 0 to 23";
  }
  return "";
}

}  // namespace sequela
