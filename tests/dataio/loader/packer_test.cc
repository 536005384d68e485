// ctest: labels=sanitize timeout=60
#include "dataio/loader/packer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "kernels/base/check.h"
#include "kernels/base/philox.h"

namespace sequela {
namespace {

using Groups = std::vector<std::vector<std::int64_t>>;

std::vector<std::int64_t> RandomLengths(int count, std::int64_t longest, std::uint64_t seed) {
  PhiloxStream random(seed, HashName("packer test"), 0);
  std::vector<std::int64_t> lengths;
  lengths.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    lengths.push_back(
        1 + static_cast<std::int64_t>(random.NextUniform() * static_cast<double>(longest)));
  }
  return lengths;
}

void ExpectEachOnce(const Groups& groups, std::size_t count) {
  std::vector<std::int64_t> all;
  for (const auto& group : groups) {
    EXPECT_TRUE(std::is_sorted(group.begin(), group.end()));
    all.insert(all.end(), group.begin(), group.end());
  }
  std::sort(all.begin(), all.end());
  std::vector<std::int64_t> expected(count);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(all, expected);
}

TEST(PackerTest, DealsEveryWindowToOneRank) {
  for (const int ranks : {1, 2, 3, 4, 7}) {
    for (const int windows : {1, 2, 5, 100}) {
      const auto lengths = RandomLengths(windows, 500, 3);
      ExpectEachOnce(DealToRanks(lengths, ranks, 4096), lengths.size());
    }
  }
}

// Longest-first dealing differs by at most the dearest window; with many windows, by little.
TEST(PackerTest, DealsCostsEvenly) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto lengths = RandomLengths(64, 512, seed);
    for (const double quadratic_length : {100.0, 4096.0}) {
      std::vector<double> load;
      for (const auto& rank : DealToRanks(lengths, 4, quadratic_length)) {
        load.push_back(0);
        for (const auto i : rank) {
          load.back() += WindowCost(lengths[static_cast<std::size_t>(i)], quadratic_length);
        }
      }
      const auto [least, most] = std::minmax_element(load.begin(), load.end());
      EXPECT_LT(*most - *least, 0.05 * *most);
    }
  }
}

// First fit decreasing as it is defined, by looking through all packs.
TEST(PackerTest, PacksAsFirstFitDecreasingIsDefined) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto lengths = RandomLengths(1 + static_cast<int>(seed) * 7, 512, seed);
    std::vector<std::int64_t> order(lengths.size());
    std::iota(order.begin(), order.end(), 0);
    const auto length = [&](std::int64_t i) { return lengths[static_cast<std::size_t>(i)]; };
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int64_t a, std::int64_t b) { return length(a) > length(b); });
    Groups expected;
    for (const std::int64_t window : order) {
      const auto fits = [&](const std::vector<std::int64_t>& pack) {
        std::int64_t tokens = length(window);
        for (const std::int64_t i : pack) tokens += length(i);
        return tokens <= 700;
      };
      auto pack = std::find_if(expected.begin(), expected.end(), fits);
      if (pack == expected.end()) pack = expected.emplace(expected.end());
      pack->push_back(window);
    }
    for (auto& pack : expected) std::sort(pack.begin(), pack.end());
    EXPECT_EQ(PackIntoMicrobatches(lengths, 700), expected) << seed;
  }
}

TEST(PackerTest, KeepsWithinTheCapacityAndNearTheFewest) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto lengths = RandomLengths(200, 512, seed);
    const Groups packs = PackIntoMicrobatches(lengths, 1024);
    ExpectEachOnce(packs, lengths.size());
    std::int64_t total = 0;
    for (const auto& pack : packs) {
      std::int64_t tokens = 0;
      for (const auto i : pack) tokens += lengths[static_cast<std::size_t>(i)];
      EXPECT_LE(tokens, 1024);
      EXPECT_GT(tokens, 0);
      total += tokens;
    }
    // First-fit decreasing needs at most 11/9 of the fewest, plus 6/9.
    const std::int64_t fewest = (total + 1023) / 1024;
    EXPECT_LE(static_cast<double>(packs.size()), 11.0 / 9 * static_cast<double>(fewest) + 1);
  }
}

TEST(PackerTest, RefusesAWindowThatCannotFit) {
  EXPECT_THROW(PackIntoMicrobatches(std::vector<std::int64_t>{5, 11}, 10), InternalError);
  EXPECT_TRUE(PackIntoMicrobatches({}, 10).empty());
}

}  // namespace
}  // namespace sequela
