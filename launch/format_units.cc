#include "launch/format_units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "kernels/base/errors.h"

namespace sequela {

std::int64_t ParseBytes(std::string_view option, std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 8> kUnits = {
      {{"", 1},
       {"B", 1},
       {"KiB", 1LL << 10},
       {"MiB", 1LL << 20},
       {"GiB", 1LL << 30},
       {"TiB", 1LL << 40},
       {"MB", 1'000'000},
       {"GB", 1'000'000'000}}};
  double number = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& [name, factor] : kUnits) {
    if (error == std::errc() && number >= 0.0 && unit == name &&
        number < 9e18 / static_cast<double>(factor)) {
      return static_cast<std::int64_t>(number * static_cast<double>(factor));
    }
  }
  throw InputError("{} {}: no size; write it as 512MiB or 2GiB.", option, text);
}

std::string FormatBytes(std::int64_t bytes) {
  constexpr std::array<const char*, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024.0 && unit + 1 < kNames.size()) {
    value /= 1024.0;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kNames[unit]);
}

std::string Grouped(std::int64_t number) {
  const std::string digits = fmt::format("{}", number < 0 ? -number : number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text.push_back(',');
    text.push_back(digits[i]);
  }
  return number < 0 ? fmt::format("-{}", text) : text;
}

}  // namespace sequela
