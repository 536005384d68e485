// Numbers as people write them in settings: decimal digits and nothing else, so that 010 is ten
// wherever it stands. The one reader of them for experiments, ingest settings and CSV mappings.
#pragma once

#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace sequela {

// The whole of `text` as a number: "10", "-3"; of a floating-point type also "0.5" and "3e-4".
// Nothing where it is something else: empty, with a sign + or spaces, hexadecimal, out of the
// type's range, a fraction for a whole number, an infinity or not a number.
template <typename Number>
std::optional<Number> NumberFromText(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(number)) return std::nullopt;
  }
  return number;
}

}  // namespace sequela
