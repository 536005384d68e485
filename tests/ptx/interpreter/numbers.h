// Floating-point formats and roundings as PTX has them.
#pragma once

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>

#include "kernels/base/bf16.h"

namespace sequela::ptx {

inline constexpr std::uint32_t kNan32 = 0x7fffffffU;  // the one NaN of a GPU's fp32 arithmetic
inline constexpr std::uint16_t kNan16 = 0x7fffU;

inline float CanonicalNan(float value) {
  return value != value ? std::bit_cast<float>(kNan32) : value;
}
inline double CanonicalNan(double value) { return value; }

// Subnormal numbers become zeros of their sign.
inline float Flush(float value) {
  return std::fabs(value) < 0x1p-126F ? std::copysign(0.0F, value) : value;
}
inline double Flush(double value) { return value; }

template <typename T>
inline T Saturate(T value) {
  return value >= T{0} ? (value > T{1} ? T{1} : (value == T{0} ? T{0} : value)) : T{0};
}

enum class Rounding : std::uint8_t { kNearest, kZero, kDown, kUp };
inline int HostRounding(Rounding rounding) {
  constexpr int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  return kModes[static_cast<int>(rounding)];
}
// The host rounds so while it lives. What is rounded must pass through volatile variables.
class RoundingScope {
 public:
  explicit RoundingScope(Rounding rounding) { std::fesetround(HostRounding(rounding)); }
  ~RoundingScope() { std::fesetround(FE_TONEAREST); }
  RoundingScope(const RoundingScope&) = delete;
  RoundingScope& operator=(const RoundingScope&) = delete;
};

float FromHalf(std::uint16_t bits);
inline float FromBf16(std::uint16_t bits) { return ToFloat(bf16{bits}); }
// A NaN becomes kNan16.
std::uint16_t ToHalf(double value, Rounding rounding);
std::uint16_t ToBfloat(double value, Rounding rounding);
// fp32 with 10 bits of mantissa; ties away from zero, as cvt.rna, or by `rounding`.
std::uint32_t ToTf32(float value, bool ties_away);

// a * b + c without rounding but for a sticky last bit, so that rounding it again to 16 bits is
// exact. Of numbers of at most 16 bits.
double FmaToOdd(double a, double b, double c);

}  // namespace sequela::ptx
