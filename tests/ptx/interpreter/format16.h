// Floating-point formats of 16 bits by their definition, for tests of rounding.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace sequela::ptx {

// A format with a sign, so many bits of exponent and the rest of 16 of fraction: all its numbers,
// from which the nearest is chosen.
class Format16 {
 public:
  explicit Format16(int exponent_bits) : mantissa_bits_(15 - exponent_bits) {
    for (std::uint32_t code = 0; code < Infinity(); ++code) numbers_.push_back(Number(code));
  }
  [[nodiscard]] std::uint32_t Infinity() const {
    return 0x7fffU >> mantissa_bits_ << mantissa_bits_;
  }
  // Ties to the even code; what reaches halfway beyond the largest is infinite. NaN: all ones.
  [[nodiscard]] std::uint32_t Nearest(double value) const {
    if (std::isnan(value)) return 0x7fff;
    const std::uint32_t sign = std::signbit(value) ? 0x8000U : 0U;
    return sign | Round(std::abs(value), [](double below, double above, std::uint32_t code) {
             return above < below || (above == below && code % 2 == 1);
           });
  }
  [[nodiscard]] std::uint32_t TowardsZero(double value) const {
    if (std::isnan(value)) return 0x7fff;
    if (std::isinf(value)) return Infinity() | (value < 0 ? 0x8000U : 0U);
    const std::uint32_t sign = std::signbit(value) ? 0x8000U : 0U;
    return sign | Round(std::abs(value), [](double, double, std::uint32_t) { return false; });
  }
  [[nodiscard]] double Number(std::uint32_t code) const {  // also one beyond the largest
    const auto exponent = static_cast<int>((code & 0x7fffU) >> mantissa_bits_);
    const int bias = (1 << (14 - mantissa_bits_)) - 1;
    const double fraction = std::ldexp(code & ((1U << mantissa_bits_) - 1), -mantissa_bits_);
    const double magnitude =
        exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
    return (code & 0x8000U) != 0 ? -magnitude : magnitude;
  }

 private:
  template <typename Up>
  [[nodiscard]] std::uint32_t Round(double value, const Up& up) const {
    const auto above = std::upper_bound(numbers_.begin(), numbers_.end(), value);
    const auto code = static_cast<std::uint32_t>(above - numbers_.begin() - 1);
    const double gap_below = value - Number(code);
    return up(gap_below, Number(code + 1) - value, code) ? code + 1 : code;
  }

  int mantissa_bits_;
  std::vector<double> numbers_;
};

inline const Format16& Bf16() {
  static const Format16 format(8);
  return format;
}
inline const Format16& F16() {
  static const Format16 format(5);
  return format;
}

}  // namespace sequela::ptx
