// ctest: labels=sanitize
#include "kernels/attention_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/base/check.h"

namespace sequela {
namespace {

using Rows = std::vector<std::int32_t>;

std::int64_t CostOf(const AttentionPlan& plan, const AttentionWorkItem& item) {
  std::int64_t pairs = 0;
  for (std::int32_t row = item.first_row; row < item.first_row + item.num_rows; ++row) {
    const auto i = static_cast<std::size_t>(row);
    pairs += plan.kv_end()[i] - plan.kv_begin()[i];
  }
  return pairs + item.num_rows;
}

// Every row is in exactly one item of its own document, and the dearest item comes first.
void ExpectPartition(const AttentionPlan& plan, std::span<const AttentionWorkItem> items) {
  std::vector<int> seen(static_cast<std::size_t>(plan.num_tokens()), 0);
  std::int64_t before = INT64_MAX;
  for (const AttentionWorkItem& item : items) {
    EXPECT_GE(item.first_row, plan.document_begin(item.document));
    EXPECT_LE(item.first_row + item.num_rows, plan.document_begin(item.document + 1));
    for (std::int32_t row = item.first_row; row < item.first_row + item.num_rows; ++row) {
      ++seen[static_cast<std::size_t>(row)];
      EXPECT_LE(item.kv_begin, plan.kv_begin()[static_cast<std::size_t>(row)]);
      EXPECT_GE(item.kv_end, plan.kv_end()[static_cast<std::size_t>(row)]);
    }
    EXPECT_LE(CostOf(plan, item), before);
    before = CostOf(plan, item);
  }
  EXPECT_TRUE(std::ranges::all_of(seen, [](int count) { return count == 1; }));
}

TEST(AttentionPlanTest, CausalRowsSeeTheirDocumentUpToThemselves) {
  const AttentionPlan plan = AttentionPlan::Causal(Rows{0, 2, 2, 5});
  EXPECT_EQ(Rows(plan.kv_begin().begin(), plan.kv_begin().end()), (Rows{0, 0, 2, 2, 2}));
  EXPECT_EQ(Rows(plan.kv_end().begin(), plan.kv_end().end()), (Rows{1, 2, 3, 4, 5}));
  EXPECT_EQ(plan.num_pairs(), 1 + 2 + 1 + 2 + 3);
  EXPECT_EQ(plan.longest_document(), 3);
  EXPECT_EQ(plan.num_documents(), 3);
  EXPECT_EQ(plan.document_id(2), 2);
}

TEST(AttentionPlanTest, ItemsPartitionTheRowsDearestFirst) {
  const AttentionPlan plan = AttentionPlan::Causal(Rows{0, 0, 1, 500, 884, 1270, 1270});
  ExpectPartition(plan, plan.forward_items());
  ExpectPartition(plan, plan.backward_items());
  EXPECT_EQ(plan.backward_items().size(), 4U);
  EXPECT_EQ(plan.forward_items().size(), 6U);
}

TEST(AttentionPlanTest, AnEmptyBatchHasNoWork) {
  const AttentionPlan plan = AttentionPlan::Causal(Rows{0});
  EXPECT_EQ(plan.num_tokens(), 0);
  EXPECT_TRUE(plan.forward_items().empty() && plan.backward_items().empty());
}

TEST(AttentionPlanTest, IdsBelongToDocuments) {
  const std::vector<std::int64_t> ids = {70, 80};
  EXPECT_EQ(AttentionPlan::Causal(Rows{0, 1, 3}, ids).document_id(1), 80);
  EXPECT_THROW(AttentionPlan::Causal(Rows{0, 3}, ids), InternalError);
}

// A row that sees itself or later ones beyond it would see its own target.
TEST(AttentionPlanTest, WrongIntervalsAreOurMistake) {
  const Rows documents = {0, 2, 4};
  const auto build = [&](const Rows& begin, const Rows& end) {
    return AttentionPlan::FromIntervals(documents, begin, end);
  };
  EXPECT_NO_THROW(build({0, 1, 2, 2}, {1, 1, 2, 4}));
  EXPECT_THROW(build({0, 0, 2, 2}, {2, 2, 3, 4}), InternalError);  // sees a later row
  EXPECT_THROW(build({0, 0, 1, 2}, {1, 2, 3, 4}), InternalError);  // another document
  EXPECT_THROW(build({0, 0, 2, 2}, {1, 2, 3, 2}), InternalError);  // falls
  EXPECT_THROW(build({0, 0, 3, 2}, {1, 2, 3, 4}), InternalError);  // begin falls
  EXPECT_THROW(build({0, 0, 2}, {1, 2, 3}), InternalError);        // a row is missing
  EXPECT_THROW(AttentionPlan::FromIntervals(Rows{0, 3, 2}, Rows{0, 0}, Rows{1, 2}), InternalError);
}

}  // namespace
}  // namespace sequela
