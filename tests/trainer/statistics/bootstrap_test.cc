// ctest: labels=sanitize timeout=60
// Bootstrap intervals against the normal theory of a mean, and against cases that are exact.
#include "trainer/statistics/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/base/philox.h"

namespace sequela {
namespace {

TEST(Bootstrap, IntervalOfAMeanIsTheNormalOne) {
  RatioSums mean;
  PhiloxStream random(1, HashName("test"), 0);
  constexpr int kSubjects = 400;
  double sum = 0.0;
  double squares = 0.0;
  for (int i = 0; i < kSubjects; ++i) {
    const double x = 5.0 + 2.0 * random.NextNormal();
    mean.numerator.push_back(x);
    mean.denominator.push_back(1.0);
    sum += x;
    squares += x * x;
  }
  const double average = sum / kSubjects;
  const double deviation = std::sqrt(squares / kSubjects - average * average);
  const double half_width = 1.96 * deviation / std::sqrt(kSubjects);
  const Interval interval = BootstrapIntervals(std::vector<RatioSums>{mean}, 3)[0];
  EXPECT_NEAR(interval.low, average - half_width, 0.15 * half_width);
  EXPECT_NEAR(interval.high, average + half_width, 0.15 * half_width);
}

TEST(Bootstrap, AConstantRatioHasNoWidth) {
  const RatioSums ratio{{2, 4, 6, 8}, {1, 2, 3, 4}};
  const Interval interval = BootstrapIntervals(std::vector<RatioSums>{ratio}, 3)[0];
  EXPECT_DOUBLE_EQ(interval.low, 2.0);
  EXPECT_DOUBLE_EQ(interval.high, 2.0);
}

TEST(Bootstrap, IsAFunctionOfItsArguments) {
  const RatioSums ratio{{2, 1, 6, 3}, {1, 2, 3, 4}};
  const Interval one = BootstrapIntervals(std::vector<RatioSums>{ratio}, 3)[0];
  const Interval two = BootstrapIntervals(std::vector<RatioSums>{ratio, ratio}, 3)[1];
  EXPECT_EQ(one.low, two.low);
  EXPECT_EQ(one.high, two.high);
}

TEST(Bootstrap, OneSubjectHasNoInterval) {
  EXPECT_TRUE(std::isnan(BootstrapIntervals(std::vector<RatioSums>{{{1}, {1}}}, 3)[0].low));
}

}  // namespace
}  // namespace sequela
