// ctest: labels=sanitize timeout=60
#include "dataio/loader/sample_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace sequela {
namespace {

std::vector<std::int64_t> Visit(std::int64_t size, std::uint64_t seed, std::int64_t epoch) {
  const SampleOrder order(size, seed, epoch);
  std::vector<std::int64_t> visited;
  for (std::int64_t i = 0; i < size; ++i) visited.push_back(order.At(i));
  return visited;
}

TEST(SampleOrderTest, VisitsEverySampleOnce) {
  for (const std::int64_t size : {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1000, 4097}) {
    std::vector<std::int64_t> visited = Visit(size, 3, 1);
    std::sort(visited.begin(), visited.end());
    for (std::int64_t i = 0; i < size; ++i) {
      ASSERT_EQ(visited[static_cast<std::size_t>(i)], i) << "size " << size;
    }
  }
}

TEST(SampleOrderTest, DependsOnSeedAndEpoch) {
  EXPECT_EQ(Visit(100, 1, 0), Visit(100, 1, 0));
  EXPECT_NE(Visit(100, 1, 0), Visit(100, 1, 1));
  EXPECT_NE(Visit(100, 1, 0), Visit(100, 2, 0));
}

TEST(SampleOrderTest, TheIdentityWithoutShuffle) {
  const SampleOrder order(10, 1, 4, false);
  for (std::int64_t i = 0; i < 10; ++i) EXPECT_EQ(order.At(i), i);
}

// Over many epochs a sample stands at every place equally often, and neighbours part: chi-square
// and the correlation of successive samples stay within what chance allows (5 standard deviations).
TEST(SampleOrderTest, LooksLikeChance) {
  constexpr std::int64_t kSize = 20;
  constexpr int kEpochs = 4000;
  std::vector<double> count(kSize * kSize, 0.0);
  double followed = 0;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const std::vector<std::int64_t> visited = Visit(kSize, 77, epoch);
    for (std::int64_t i = 0; i < kSize; ++i) {
      count[static_cast<std::size_t>(i * kSize + visited[static_cast<std::size_t>(i)])] += 1;
      if (i > 0 &&
          visited[static_cast<std::size_t>(i)] == visited[static_cast<std::size_t>(i - 1)] + 1) {
        followed += 1;
      }
    }
  }
  constexpr double kExpected = static_cast<double>(kEpochs) / kSize;
  double chi_square = 0;
  for (const double found : count)
    chi_square += (found - kExpected) * (found - kExpected) / kExpected;
  constexpr double kFreedom = (kSize - 1) * (kSize - 1);
  EXPECT_NEAR(chi_square, kFreedom, 5 * std::sqrt(2 * kFreedom));
  // A pair of neighbours (k, k + 1) is adjacent in this order with probability 1 / kSize.
  constexpr double kPairs = kEpochs * (kSize - 1) / static_cast<double>(kSize);
  EXPECT_NEAR(followed, kPairs, 5 * std::sqrt(kPairs));
}

}  // namespace
}  // namespace sequela
