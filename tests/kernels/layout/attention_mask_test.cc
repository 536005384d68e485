// The decision of a block against its elements, one by one.
#include "kernels/layout/attention_mask.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/base/philox.h"

namespace sequela {
namespace {

Visible ByElements(const std::vector<KvInterval>& rows, int key, int keys) {
  int seen = 0;
  for (const KvInterval& row : rows) {
    for (int k = key; k < key + keys; ++k) seen += row.Has(k) ? 1 : 0;
  }
  if (seen == 0) return Visible::kNothing;
  return seen == static_cast<int>(rows.size()) * keys ? Visible::kAll : Visible::kSome;
}

TEST(AttentionMaskTest, AgreesWithTheElementsOrDecidesToLookAtThem) {
  PhiloxStream random(1, HashName("attention mask test"), 0);
  int nothing = 0, all = 0;
  for (int repeat = 0; repeat < 2000; ++repeat) {
    std::vector<KvInterval> rows;
    KvInterval row{static_cast<int>(random.NextWord() % 4), 0};
    row.end = row.begin + static_cast<int>(random.NextWord() % 16);
    for (int r = 0; r < 1 + repeat % 9; ++r) {  // neither bound falls; some rows see nothing
      row.end += static_cast<int>(random.NextWord() % 3);
      row.begin = std::min(row.end, row.begin + static_cast<int>(random.NextWord() % 3));
      rows.push_back(row);
    }
    for (int key = 0; key < 24; key += 4) {
      const Visible truth = ByElements(rows, key, 4);
      const Visible decided = VisibleOf(rows.front(), rows.back(), key, 4);
      EXPECT_EQ(decided == Visible::kAll, truth == Visible::kAll);
      EXPECT_TRUE(decided != Visible::kNothing || truth == Visible::kNothing);
      nothing += decided == Visible::kNothing ? 1 : 0;
      all += decided == Visible::kAll ? 1 : 0;
    }
  }
  EXPECT_GT(nothing, 100);
  EXPECT_GT(all, 100);
}

// Where it counts for speed: causal rows skip what lies after them and mask their own block alone.
TEST(AttentionMaskTest, CausalRowsMaskTheDiagonalOnly) {
  const KvInterval first{0, 65}, last{0, 128};  // rows 64 ... 127
  EXPECT_EQ(VisibleOf(first, last, 0, 64), Visible::kAll);
  EXPECT_EQ(VisibleOf(first, last, 64, 64), Visible::kSome);
  EXPECT_EQ(VisibleOf(first, last, 128, 64), Visible::kNothing);
}

TEST(AttentionMaskTest, NoRowsSeeNothing) {
  EXPECT_EQ(VisibleOf({}, {}, 0, 64), Visible::kNothing);
}

}  // namespace
}  // namespace sequela
