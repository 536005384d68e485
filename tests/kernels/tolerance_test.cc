// ctest: labels=sanitize
// The rule of tolerances itself: what it lets pass, and what it must not.
#include "tests/testing/tolerance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <numbers>

#include "kernels/base/philox.h"
#include "tests/reference/matrix.h"

namespace sequela::testing {
namespace {

using reference::Matrix;

Matrix<double> Exact(std::int64_t rows) {
  Matrix<double> exact(rows, 1);
  for (std::int64_t r = 0; r < rows; ++r) exact(r, 0) = 1.0 + 1e-3 * static_cast<double>(r % 7);
  return exact;
}

// The exact values with a sample of normal errors: those of every fourth row are ten times as
// large, and every tenth row has none.
Matrix<double> WithErrors(std::int64_t rows, std::uint64_t sample, double factor = 1.0) {
  constexpr double kSpread = 1e-4;
  Matrix<double> result = Exact(rows);
  PhiloxStream random(sample, HashName("errors"), 0);
  for (std::int64_t r = 0; r < rows; ++r) {
    const double length = std::sqrt(-2.0 * std::log(1.0 - random.NextUniform()));
    const double normal = length * std::cos(2.0 * std::numbers::pi * random.NextUniform());
    const double spread = r % 10 == 9 ? 0.0 : r % 4 == 0 ? 10.0 * kSpread : kSpread;
    result(r, 0) += factor * spread * normal;
  }
  return result;
}

// Of pairs of samples that keep the rule about the largest error, the share whose means break it.
double ShareRefused(std::int64_t rows, int pairs, Sums sums, double factor = 1.0) {
  const Matrix<double> exact = Exact(rows);
  int compared = 0, refused = 0;
  for (std::uint64_t pair = 0; pair < static_cast<std::uint64_t>(pairs); ++pair) {
    const std::uint64_t sample = 2 * pair;
    const Matrix<double> honest = WithErrors(rows, sample);
    const Matrix<double> ours = WithErrors(rows, sample + 1, factor);
    if (ErrorsOf(ours, exact).max > 2.0 * ErrorsOf(honest, exact).max) continue;
    ++compared;
    refused += WithinTheRule(ours, honest, exact, sums) ? 0 : 1;
  }
  return static_cast<double>(refused) / compared;
}

// Honest's own errors, so many times as large: no chance in them.
Matrix<double> Enlarged(const Matrix<double>& honest, double factor) {
  Matrix<double> enlarged = Exact(honest.rows);
  for (std::size_t i = 0; i < honest.values.size(); ++i) {
    enlarged.values[i] += factor * (honest.values[i] - enlarged.values[i]);
  }
  return enlarged;
}

TEST(ToleranceTest, AnotherSampleOfTheSameErrorsPasses) {
  for (const std::int64_t rows : {14, 20, 90, 1000}) {
    EXPECT_LT(ShareRefused(rows, 1000, Sums::kInAnotherOrder), 0.005) << rows << " rows";
  }
  // What the allowance is for.
  EXPECT_GT(ShareRefused(20, 1000, Sums::kInOurOrder), 0.1);
}

TEST(ToleranceTest, ABiasOfManyValuesIsCaught) {
  EXPECT_EQ(ShareRefused(20'000, 20, Sums::kInAnotherOrder, 1.3), 1.0);
  EXPECT_EQ(ShareRefused(20'000, 20, Sums::kInAnotherOrder, 1.1), 0.0);
}

TEST(ToleranceTest, TheAllowanceShrinksWithTheNumberOfValues) {
  const auto passes = [](std::int64_t rows, double factor, Sums sums) {
    const Matrix<double> honest = WithErrors(rows, 0);
    return static_cast<bool>(WithinTheRule(Enlarged(honest, factor), honest, Exact(rows), sums));
  };
  EXPECT_TRUE(passes(20, 1.5, Sums::kInAnotherOrder));
  EXPECT_TRUE(passes(1000, 1.3, Sums::kInAnotherOrder));
  EXPECT_FALSE(passes(1000, 1.5, Sums::kInAnotherOrder));
  EXPECT_FALSE(passes(500'000, 1.21, Sums::kInAnotherOrder));
}

TEST(ToleranceTest, OurOwnOrderOfSumsIsAllowedNoChance) {
  for (const std::int64_t rows : {20, 1000}) {
    const Matrix<double> honest = WithErrors(rows, 0), exact = Exact(rows);
    EXPECT_TRUE(WithinTheRule(Enlarged(honest, 1.19), honest, exact, Sums::kInOurOrder));
    EXPECT_FALSE(WithinTheRule(Enlarged(honest, 1.21), honest, exact, Sums::kInOurOrder));
  }
  EXPECT_EQ(SumsUnderTest(), Sums::kInOurOrder);
}

TEST(ToleranceTest, ALargeErrorOrOneThatIsNoNumberNeverPasses) {
  const Matrix<double> honest = WithErrors(20, 0), exact = Exact(20);
  for (const Sums sums : {Sums::kInOurOrder, Sums::kInAnotherOrder}) {
    EXPECT_FALSE(WithinTheRule(Enlarged(honest, 2.1), honest, exact, sums));
    Matrix<double> broken = honest;
    broken(3, 0) = std::nan("");
    EXPECT_FALSE(WithinTheRule(broken, honest, exact, sums));
  }
}

}  // namespace
}  // namespace sequela::testing
