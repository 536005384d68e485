#include "dataio/base/duration.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

namespace sequela {
namespace {

constexpr std::array<std::pair<std::string_view, std::int64_t>, 6> kUnits = {{{"y", kYearSeconds},
                                                                              {"mo", kMonthSeconds},
                                                                              {"d", kDaySeconds},
                                                                              {"h", 3600},
                                                                              {"min", 60},
                                                                              {"s", 1}}};

}  // namespace

std::int64_t ParseDuration(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0) return -1;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  if (unit.empty() && number == 0) return 0;
  for (const auto& [name, seconds] : kUnits) {
    if (unit == name) return number <= (INT64_MAX / seconds) ? number * seconds : -1;
  }
  return -1;
}

std::string FormatDuration(std::int64_t seconds) {
  for (const auto& [name, unit] : kUnits) {
    if (seconds != 0 && seconds % unit == 0) return fmt::format("{}{}", seconds / unit, name);
  }
  return "0";
}

}  // namespace sequela
