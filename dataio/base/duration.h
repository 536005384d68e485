// Durations in seconds as people write them: 30s, 5min, 2h, 1d, 3mo (30.4375 d), 10y (365.25 d).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sequela {

inline constexpr std::int64_t kDaySeconds = 86'400;
inline constexpr std::int64_t kMonthSeconds = 2'629'800;
inline constexpr std::int64_t kYearSeconds = 31'557'600;

// -1 where `text` is no duration.
std::int64_t ParseDuration(std::string_view text);
// In the largest unit that divides it.
std::string FormatDuration(std::int64_t seconds);

}  // namespace sequela
