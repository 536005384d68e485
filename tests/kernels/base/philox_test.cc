// ctest: labels=sanitize
#include "kernels/base/philox.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <set>

namespace sequela {
namespace {

// The known answers that Random123 publishes for philox4x32-10 (tests/kat_vectors).
TEST(PhiloxTest, GivesTheKnownAnswersOfRandom123) {
  EXPECT_EQ(Philox(0, 0, 0), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox(~0ULL, ~0ULL, ~0ULL),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // Counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0 (digits of pi), low word
  // first.
  EXPECT_EQ(Philox(0x299f31d0a4093822ULL, 0x85a308d3243f6a88ULL, 0x0370734413198a2eULL),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// FNV-1a, 64 bit: the published values of "", "a" and "foobar".
TEST(HashNameTest, IsFnv1a) {
  EXPECT_EQ(HashName(""), 0xcbf29ce484222325ULL);
  EXPECT_EQ(HashName("a"), 0xaf63dc4c8601ec8cULL);
  EXPECT_EQ(HashName("foobar"), 0x85944171f73967e8ULL);
}

TEST(UniformTest, StaysInsideItsInterval) {
  EXPECT_EQ(UniformFloat(0), 0.0F);
  EXPECT_LT(UniformFloat(0xffffffffU), 1.0F);
  EXPECT_GT(UniformDouble(0, 0), 0.0);
  EXPECT_LT(UniformDouble(0xffffffffU, 0xffffffffU), 1.0);
}

TEST(PhiloxStreamTest, StreamsOfOtherSeedsPurposesAndIndicesDiffer) {
  std::set<std::uint32_t> first_words;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    for (std::uint64_t purpose = 0; purpose < 10; ++purpose) {
      for (std::uint64_t index = 0; index < 10; ++index) {
        first_words.insert(PhiloxStream(seed, purpose, index).NextWord());
      }
    }
  }
  EXPECT_GE(first_words.size(), 999U);  // one chance collision of 32-bit words is already rare
}

// Sample moments of n draws within five standard errors of the distribution's.
TEST(PhiloxStreamTest, DrawsHaveTheMomentsOfTheirDistributions) {
  constexpr int kDraws = 100000;
  const double error = 5.0 / std::sqrt(kDraws);
  PhiloxStream stream(3, HashName("moments"), 1);
  double uniform = 0.0;
  double exponential = 0.0;
  double normal = 0.0;
  double normal_square = 0.0;
  for (int i = 0; i < kDraws; ++i) {
    uniform += stream.NextUniform();
    exponential += stream.NextExponential();
    const double z = stream.NextNormal();
    normal += z;
    normal_square += z * z;
  }
  EXPECT_NEAR(uniform / kDraws, 0.5, error * std::sqrt(1.0 / 12.0));
  EXPECT_NEAR(exponential / kDraws, 1.0, error);
  EXPECT_NEAR(normal / kDraws, 0.0, error);
  EXPECT_NEAR(normal_square / kDraws, 1.0, error * std::sqrt(2.0));
}

}  // namespace
}  // namespace sequela
