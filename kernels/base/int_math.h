// Small honest helpers for integers.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/base/check.h"

namespace sequela {

// The smallest q with q * divisor >= value. REQUIRES: value >= 0, divisor > 0.
constexpr std::int64_t CeilDiv(std::int64_t value, std::int64_t divisor) {
  return (value + divisor - 1) / divisor;
}

// The smallest multiple of `unit` that is not below `value`. REQUIRES: value >= 0, unit > 0.
constexpr std::int64_t RoundUp(std::int64_t value, std::int64_t unit) {
  return CeilDiv(value, unit) * unit;
}

// Converts between integer types and checks that the value survived.
template <typename To, typename From>
constexpr To narrow(From value) {
  SEQUELA_CHECK(std::in_range<To>(value), "{} does not fit", value);
  return static_cast<To>(value);
}

// value / divisor where a remainder would be our mistake.
constexpr std::int64_t DivExact(std::int64_t value, std::int64_t divisor) {
  SEQUELA_CHECK(divisor != 0 && value % divisor == 0, "{} / {}", value, divisor);
  return value / divisor;
}

}  // namespace sequela
