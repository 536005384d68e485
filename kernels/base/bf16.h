// bfloat16: the upper half of a float32. Arithmetic is always done in float32; this type only
// stores.
#pragma once

#include <bit>
#include <cstdint>

namespace sequela {

struct bf16 {
  std::uint16_t bits = 0;
};
static_assert(sizeof(bf16) == 2);

inline float ToFloat(bf16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

// Rounds to nearest, ties to even; a NaN stays a (quiet) NaN.
inline bf16 ToBf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) {
    return bf16{static_cast<std::uint16_t>((bits >> 16) | 0x40U)};
  }
  const std::uint32_t rounding = 0x7fffU + ((bits >> 16) & 1U);
  return bf16{static_cast<std::uint16_t>((bits + rounding) >> 16)};
}

}  // namespace sequela
