#include "dataio/ingest/csv/csv_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "dataio/ingest/csv/csv_time.h"

namespace sequela {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

bool IsMissing(std::string_view text) {
  constexpr std::array<std::string_view, 10> kWords = {"null", "nan",  "nat",  "na",     "n/a",
                                                       "#n/a", "none", "<na>", "(null)", "\\n"};
  text = Trim(text);
  if (text.empty()) return true;
  if (text.size() > 6) return false;
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return std::find(kWords.begin(), kWords.end(), lower) != kWords.end();
}

double NumberOf(const std::map<std::string, std::string>& numbers, std::string_view text) {
  text = Trim(text);
  if (!numbers.empty()) {
    const auto known = numbers.find(std::string(text));
    if (known != numbers.end()) text = known->second;
  }
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() ||
      !std::isfinite(value)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return value;
}

std::optional<std::int64_t> TimeOfDay(std::string_view text) {
  TextScanner scanner(Trim(text));
  const std::optional<std::int64_t> time = ReadClock(scanner);
  if (!time || !scanner.at_end()) return std::nullopt;
  return time;
}

}  // namespace sequela
