#include "tests/ptx/interpreter/numbers.h"

#include <algorithm>

namespace sequela::ptx {
namespace {

// Rounds to a format of `fraction` bits after the point and exponents from `lowest` (of the least
// normal number); gives a multiple of the last place, unbounded above.
double RoundTo(double value, int fraction, int lowest, Rounding rounding) {
  int exponent = 0;
  std::frexp(value, &exponent);
  const int place = std::max(exponent - 1, lowest) - fraction;
  const volatile double scaled = std::ldexp(value, -place);
  const RoundingScope scope(rounding);
  return std::ldexp(std::nearbyint(scaled), place);
}

// Overflow stops at the largest number where rounding is towards zero from there.
bool OverflowsToLargest(bool negative, Rounding rounding) {
  return rounding == Rounding::kZero || (rounding == Rounding::kDown && !negative) ||
         (rounding == Rounding::kUp && negative);
}

}  // namespace

float FromHalf(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fU;
  const std::uint32_t fraction = bits & 0x3ffU;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000U | fraction << 13);
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

std::uint16_t ToHalf(double value, Rounding rounding) {
  if (std::isnan(value)) return kNan16;
  const bool negative = std::signbit(value);
  const std::uint16_t sign = negative ? 0x8000U : 0;
  double magnitude = std::fabs(value);
  if (std::isinf(magnitude)) return sign | 0x7c00U;
  magnitude = std::fabs(RoundTo(value, 10, -14, rounding));
  if (magnitude > 65504.0) {
    return sign | (OverflowsToLargest(negative, rounding) ? 0x7bffU : 0x7c00U);
  }
  if (magnitude < 0x1p-14) return sign | static_cast<std::uint16_t>(magnitude * 0x1p24);
  int exponent = 0;
  const double fraction = std::frexp(magnitude, &exponent);  // in [0.5, 1)
  const int bits = static_cast<int>(fraction * 2048.0) - 1024;
  return static_cast<std::uint16_t>(sign | (exponent + 14) << 10 | bits);
}

std::uint16_t ToBfloat(double value, Rounding rounding) {
  if (std::isnan(value)) return kNan16;
  const bool negative = std::signbit(value);
  if (std::isinf(value)) return negative ? 0xff80U : 0x7f80U;
  const double rounded = RoundTo(value, 7, -126, rounding);
  if (std::fabs(rounded) > 0x1.fep127) {
    const std::uint16_t largest = OverflowsToLargest(negative, rounding) ? 0x7f7fU : 0x7f80U;
    return largest | (negative ? 0x8000U : 0);
  }
  const float exact = std::copysign(static_cast<float>(rounded), negative ? -1.0F : 1.0F);
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(exact) >> 16);
}

std::uint32_t ToTf32(float value, bool ties_away) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return kNan32;
  if ((bits & 0x7fffffffU) == 0x7f800000U) return bits;
  bits += ties_away ? 0x1000U : 0x0fffU + (bits >> 13 & 1U);
  return bits & ~0x1fffU;
}

double FmaToOdd(double a, double b, double c) {
  const double product = a * b;
  const double sum = product + c;
  if (!std::isfinite(sum)) return sum;
  const double rest = sum - product;
  const double error = (product - (sum - rest)) + (c - rest);
  auto bits = std::bit_cast<std::uint64_t>(sum);
  if (error == 0 || (bits & 1U) != 0) return sum;
  bits += (error > 0) == (sum > 0) ? 1 : std::uint64_t{0} - 1;
  return std::bit_cast<double>(bits);
}

}  // namespace sequela::ptx
