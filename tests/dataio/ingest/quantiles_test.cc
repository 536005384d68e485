// ctest: labels=sanitize timeout=60
#include "dataio/ingest/quantiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

namespace sequela {
namespace {

// The values' edges by the two counting passes.
std::vector<float> Fit(const std::vector<float>& values, int bins) {
  std::map<std::uint32_t, std::uint64_t> buckets;
  for (const float value : values) ++buckets[OrderKey(value) >> 16];
  const std::vector<KeyCount> first(buckets.begin(), buckets.end());
  const std::vector<std::uint32_t> refine = BucketsToRefine(first, bins);
  std::map<std::uint32_t, std::uint64_t> exact;
  for (const float value : values) {
    const std::uint32_t key = OrderKey(value);
    if (std::binary_search(refine.begin(), refine.end(), key >> 16)) ++exact[key];
  }
  return FitBinEdges(first, {exact.begin(), exact.end()}, bins);
}

std::vector<std::int64_t> CountsOf(const std::vector<float>& values,
                                   const std::vector<float>& edges) {
  std::vector<std::int64_t> counts(edges.size() + 1);
  for (const float value : values) {
    ++counts[static_cast<std::size_t>(std::lower_bound(edges.begin(), edges.end(), value) -
                                      edges.begin())];
  }
  return counts;
}

TEST(QuantilesTest, OrderKeysSortAsTheValuesDo) {
  const std::vector<float> ascending = {
      -std::numeric_limits<float>::max(), -1.5F, -1e-40F, 0.0F, 1e-40F, 1.0F,
      std::nextafter(1.0F, 2.0F),         3e38F};
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    EXPECT_EQ(FromOrderKey(OrderKey(ascending[i])), ascending[i]);
    if (i > 0) {
      EXPECT_LT(OrderKey(ascending[i - 1]), OrderKey(ascending[i]));
    }
  }
  EXPECT_EQ(OrderKey(-0.0F), OrderKey(0.0F));
}

TEST(QuantilesTest, ContinuousValuesAreCutAtTheSortedListsQuantiles) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(98.6F, 0.7F);
  for (const int count : {11, 1000, 20'011}) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = normal(random);
    const std::vector<float> edges = Fit(values, 10);
    std::sort(values.begin(), values.end());
    ASSERT_EQ(edges.size(), 9U);
    for (int j = 1; j < 10; ++j) {
      const auto rank = static_cast<std::size_t>((j * count + 9) / 10);
      EXPECT_EQ(edges[static_cast<std::size_t>(j - 1)], values[rank - 1]) << count << " " << j;
    }
  }
}

TEST(QuantilesTest, FewDistinctValuesGetABinEach) {
  EXPECT_EQ(Fit({3, 1, 2, 2, 2, 1}, 10), (std::vector<float>{1, 2}));
  EXPECT_EQ(Fit({5, 5, 5}, 10), std::vector<float>{});
  EXPECT_EQ(Fit({-1, 0, 1e30F, -1e30F}, 4), (std::vector<float>{-1e30F, -1, 0}));
}

TEST(QuantilesTest, AHeavyValueHasABinOfItsOwn) {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-10.0F, 10.0F);
  for (const float atom : {0.0F, 7.5F, -10.5F, 12.0F}) {
    std::vector<float> values(700, atom);
    for (int i = 0; i < 1300; ++i) values.push_back(uniform(random));
    const std::vector<float> edges = Fit(values, 10);
    EXPECT_TRUE(std::is_sorted(edges.begin(), edges.end()));
    const std::vector<std::int64_t> counts = CountsOf(values, edges);
    EXPECT_EQ(std::count(counts.begin(), counts.end(), 700), 1) << atom;
    EXPECT_EQ(std::count(counts.begin(), counts.end(), 0), 0) << atom;
  }
}

TEST(QuantilesTest, NoBinIsEmptyAndOrderDoesNotMatter) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 200; ++trial) {
    const int distinct = 1 + static_cast<int>(random() % 60);
    std::vector<float> values;
    const int count = 1 + static_cast<int>(random() % 400);
    for (int i = 0; i < count; ++i) {
      const auto place = static_cast<float>(random() % static_cast<unsigned>(distinct));
      values.push_back((place - 20.0F) * (random() % 3 == 0 ? 0.1F : 1.0F));
    }
    const std::vector<float> edges = Fit(values, 10);
    const auto counts = CountsOf(values, edges);
    EXPECT_EQ(std::count(counts.begin(), counts.end(), 0), 0);
    std::shuffle(values.begin(), values.end(), random);
    EXPECT_EQ(Fit(values, 10), edges);
    std::vector<float> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    const auto kinds = std::unique(sorted.begin(), sorted.end()) - sorted.begin();
    if (kinds <= 10) {
      EXPECT_EQ(counts.size(), static_cast<std::size_t>(kinds));
    }
  }
}

}  // namespace
}  // namespace sequela
