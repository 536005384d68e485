// ctest: labels=sanitize
#include "kernels/base/bf16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace sequela {
namespace {

float FromBits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

TEST(Bf16Test, EveryValueSurvivesTheWayThere) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const bf16 value{static_cast<std::uint16_t>(bits)};
    const bf16 again = ToBf16(ToFloat(value));
    if (std::isnan(ToFloat(value))) {
      EXPECT_TRUE(std::isnan(ToFloat(again)));
    } else {
      EXPECT_EQ(again.bits, value.bits);
    }
  }
}

// Between each pair of neighbours: below the middle to the lower, above it to the upper, at the
// middle to the one whose last bit is 0. Every sign, exponent and mantissa, infinity as the last
// neighbour.
TEST(Bf16Test, RoundsToTheNearestAndTiesToEven) {
  for (std::uint32_t sign = 0; sign <= 0x8000U; sign += 0x8000U) {
    for (std::uint32_t high = 0; high < 0x7f80U; ++high) {
      const std::uint32_t bits = (sign | high) << 16;
      const std::uint32_t lower = sign | high;
      const std::uint32_t even = high % 2 == 0 ? lower : lower + 1;
      ASSERT_EQ(ToBf16(FromBits(bits | 0x0001U)).bits, lower);
      ASSERT_EQ(ToBf16(FromBits(bits | 0x7fffU)).bits, lower);
      ASSERT_EQ(ToBf16(FromBits(bits | 0x8000U)).bits, even);
      ASSERT_EQ(ToBf16(FromBits(bits | 0x8001U)).bits, lower + 1);
      ASSERT_EQ(ToBf16(FromBits(bits | 0xffffU)).bits, lower + 1);
    }
  }
}

TEST(Bf16Test, EveryNanStaysOne) {
  for (std::uint32_t mantissa = 1; mantissa < 0x800000U; mantissa += 127) {
    ASSERT_TRUE(std::isnan(ToFloat(ToBf16(FromBits(0x7f800000U | mantissa)))));
    ASSERT_TRUE(std::isnan(ToFloat(ToBf16(FromBits(0xff800000U | mantissa)))));
  }
}

TEST(Bf16Test, InfinityAndTheLargestFloat) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(ToFloat(ToBf16(infinity)), infinity);
  EXPECT_EQ(ToFloat(ToBf16(-infinity)), -infinity);
  EXPECT_EQ(ToFloat(ToBf16(std::numeric_limits<float>::max())), infinity);
}

}  // namespace
}  // namespace sequela
