// ctest: labels=sanitize;threads cuda
#include "kernels/global_norm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/testing/poison.h"

namespace sequela {
namespace {

using testing::PoisonedMatrix;
using testing::RandomMatrix;
using testing::SharedVector;
using testing::Synchronize;
using testing::TestExec;

using Doubles = SharedVector<double>;

Doubles Partials(std::span<const float> x, int threads = 1) {
  Doubles partials((x.size() + 1023) / 1024, std::numeric_limits<double>::quiet_NaN());
  TileSquareSums(TestExec(threads), {.x = x, .partials = partials});
  Synchronize();
  return partials;
}

class GlobalNormTest : public ::testing::TestWithParam<std::int64_t> {
 protected:
  PoisonedMatrix x_{DType::kFloat32, RandomMatrix(1, GetParam(), 1), {0, 3}};
};

// The first tile whose partial is not finite, or -1.
std::int64_t FirstNonFiniteTile(const Doubles& partials) {
  const auto found = std::ranges::find_if(partials, [](double p) { return !std::isfinite(p); });
  return found == partials.end() ? -1 : found - partials.begin();
}

TEST_P(GlobalNormTest, EveryTileIsItsSumOfSquares) {
  const std::span<const float> x = x_.floats();
  const Doubles partials = Partials(x, 2);
  for (std::size_t tile = 0; tile < partials.size(); ++tile) {
    long double sum = 0.0L;
    for (std::size_t i = tile * 1024; i < std::min(x.size(), (tile + 1) * 1024); ++i) {
      sum += static_cast<long double>(x[i]) * x[i];
    }
    EXPECT_NEAR(partials[tile], static_cast<double>(sum), 1e-13 * static_cast<double>(sum));
  }
  EXPECT_EQ(FirstNonFiniteTile(partials), -1);
  EXPECT_EQ(FirstNonFiniteElement(x), -1);
}

TEST_P(GlobalNormTest, TheNumberOfThreadsChangesNoBit) {
  for (const int threads : {2, 3, 7})
    EXPECT_EQ(Partials(x_.floats(), threads), Partials(x_.floats()));
}

INSTANTIATE_TEST_SUITE_P(Sizes, GlobalNormTest,
                         ::testing::Values(0, 1, 7, 1023, 1024, 1025, 5000, 70001));

TEST(TileSquareSumsTest, ATileDoesNotDependOnWhereItLies) {
  PoisonedMatrix x(DType::kFloat32, RandomMatrix(1, 4096, 2));
  const Doubles all = Partials(x.floats());
  EXPECT_EQ(Partials(x.floats().subspan(2048)), Doubles(all.begin() + 2, all.end()));
  PoisonedMatrix elsewhere(DType::kFloat32, x.values(), {0, 1});
  EXPECT_EQ(Partials(elsewhere.floats()), all);
}

TEST(TileSquareSumsTest, FiniteValuesNeverOverflow) {
  const SharedVector<float> x(1024, std::numeric_limits<float>::max());
  EXPECT_EQ(FirstNonFiniteTile(Partials(x)), -1);
}

TEST(TileSquareSumsTest, FindsWhatIsNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{1030}, std::size_t{2050}}) {
      SharedVector<float> x(2051, 1.0F);
      x[at] = bad;
      EXPECT_EQ(FirstNonFiniteTile(Partials(x)), static_cast<std::int64_t>(at / 1024));
      EXPECT_EQ(FirstNonFiniteElement(x), static_cast<std::int64_t>(at));
    }
  }
}

}  // namespace
}  // namespace sequela
