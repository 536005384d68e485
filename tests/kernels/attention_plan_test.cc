// ctest: labels=sanitize
#include "kernels/attention_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/layout/attention_tiles.h"

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

// ---- The image for CUDA ----

class AttentionImageTest : public ::testing::Test {
 protected:
  // Windows of 100 rows, and rows that see nothing, in documents around the tiles' edges.
  AttentionPlan Windows() {
    const Rows begin = {0, 0, 1, 64, 64 + 63, 64 + 63 + 129, 700, 700};
    Rows kv_begin, kv_end;
    for (std::size_t document = 0; document + 1 < begin.size(); ++document) {
      for (std::int32_t row = begin[document]; row < begin[document + 1]; ++row) {
        kv_end.push_back(std::max(begin[document], row + 1 - (row % 5)));
        kv_begin.push_back(std::min(kv_end.back(), std::max(begin[document], row - 100)));
        if (kv_end.size() > 1 && row > begin[document]) {
          kv_end.back() = std::max(kv_end.back(), kv_end[kv_end.size() - 2]);
          kv_begin.back() = std::max(kv_begin.back(), kv_begin[kv_begin.size() - 2]);
        }
      }
    }
    return AttentionPlan::FromIntervals(begin, kv_begin, kv_end, Ids(begin.size() - 1));
  }
  static std::vector<std::int64_t> Ids(std::size_t count) {
    std::vector<std::int64_t> ids;
    for (std::size_t i = 0; i < count; ++i) ids.push_back(1000 + static_cast<std::int64_t>(i));
    return ids;
  }

  void Write(const AttentionPlan& plan) {
    image_.assign(static_cast<std::size_t>(plan.ImageBytes()), std::byte{0xff});
    plan.WriteImage(image_);
    std::memcpy(&layout_, image_.data(), sizeof(layout_));
    view_ = ViewOfImage(image_.data(), layout_);
  }
  std::span<const AttentionTile> ForwardTiles() const {
    return {view_.forward_tiles, Count(layout_.num_forward_tiles)};
  }
  std::span<const AttentionTile> QueryTiles() const {
    return {view_.query_tiles, Count(layout_.num_query_tiles)};
  }
  std::span<const AttentionTile> KeyTiles() const {
    return {view_.key_tiles, Count(layout_.num_key_tiles)};
  }
  static std::size_t Count(std::int64_t count) { return static_cast<std::size_t>(count); }

  // Every row is owned by one tile of its document, cut at multiples of `rows`; documents stay
  // together, the longest first, and so do the tiles of each.
  void ExpectPartition(const AttentionPlan& plan, std::span<const AttentionTile> tiles,
                       std::int32_t rows) {
    std::vector<int> owners(Count(plan.num_tokens()), 0);
    std::int32_t document_before = INT32_MAX, before = INT32_MAX;
    for (std::size_t i = 0; i < tiles.size(); ++i) {
      const AttentionTile& tile = tiles[i];
      const std::int32_t document =
          plan.document_begin(tile.document + 1) - plan.document_begin(tile.document);
      EXPECT_EQ(tile.list_count, (document + rows - 1) / rows);
      if (i == 0 || tile.document != tiles[i - 1].document) {
        EXPECT_EQ(tile.list_begin, static_cast<std::int32_t>(i));
        EXPECT_LE(document, document_before);
        document_before = document;
        before = INT32_MAX;
      } else {
        EXPECT_EQ(tile.list_begin, tiles[i - 1].list_begin);
      }
      EXPECT_EQ((tile.first - plan.document_begin(tile.document)) % rows, 0);
      EXPECT_GT(tile.count, 0);
      EXPECT_LE(tile.count, rows);
      EXPECT_LE(tile.first + tile.count, plan.document_begin(tile.document + 1));
      for (std::int32_t row = tile.first; row < tile.first + tile.count; ++row)
        ++owners[Count(row)];
      EXPECT_LE(tile.end - tile.begin, before);
      before = tile.end - tile.begin;
    }
    EXPECT_TRUE(std::ranges::all_of(owners, [](int count) { return count == 1; }));
  }

  // Every pair that sees each other is in one tile, given whether tiles own queries or keys.
  void ExpectAllPairs(const AttentionPlan& plan, std::span<const AttentionTile> tiles,
                      bool own_queries) {
    std::int64_t pairs = 0;
    for (const AttentionTile& tile : tiles) {
      for (std::int32_t own = tile.first; own < tile.first + tile.count; ++own) {
        for (std::int32_t other = tile.begin; other < tile.end; ++other) {
          const std::size_t query = Count(own_queries ? own : other);
          const std::int32_t key = own_queries ? other : own;
          pairs += plan.kv_begin()[query] <= key && key < plan.kv_end()[query] ? 1 : 0;
        }
      }
    }
    EXPECT_EQ(pairs, plan.num_pairs());
  }

  std::vector<std::byte> image_;
  AttentionImageLayout layout_;
  AttentionDeviceView view_;
};

TEST_F(AttentionImageTest, HoldsThePlan) {
  const AttentionPlan plan = Windows();
  Write(plan);
  EXPECT_EQ(std::memcmp(&layout_, image_.data(), sizeof(layout_)), 0);
  EXPECT_TRUE(
      std::ranges::equal(plan.kv_begin(), std::span(view_.kv_begin, Count(plan.num_tokens()))));
  EXPECT_TRUE(std::ranges::equal(plan.kv_end(), std::span(view_.kv_end, Count(plan.num_tokens()))));
  for (std::int64_t document = 0; document < plan.num_documents(); ++document) {
    EXPECT_EQ(view_.document_begin[document], plan.document_begin(document));
    EXPECT_EQ(view_.document_id[document], 1000 + document);
  }
  EXPECT_EQ(view_.document_begin[plan.num_documents()], 700);
  for (const std::int64_t offset :
       {layout_.kv_begin, layout_.kv_end, layout_.document_begin, layout_.document_id,
        layout_.forward_tiles, layout_.query_tiles, layout_.key_tiles}) {
    EXPECT_EQ(offset % 64, 0);
  }
}

TEST_F(AttentionImageTest, TilesPartitionRowsAndHoldAllPairs) {
  for (const AttentionPlan& plan :
       {Windows(), AttentionPlan::Causal(Rows{0, 1, 1, 128, 257, 320, 1000})}) {
    Write(plan);
    ExpectPartition(plan, ForwardTiles(), kAttentionForwardRows);
    ExpectPartition(plan, QueryTiles(), kAttentionQueryGradientTiles.owned);
    ExpectPartition(plan, KeyTiles(), kAttentionKeyGradientTiles.owned);
    ExpectAllPairs(plan, ForwardTiles(), true);
    ExpectAllPairs(plan, QueryTiles(), true);
    ExpectAllPairs(plan, KeyTiles(), false);
  }
}

// Each (tile, head) is one block's, whether all heads of a document share the cache or one does;
// heads that share it take their tiles in turn, the longest first.
TEST_F(AttentionImageTest, BlocksPartitionTilesAndHeads) {
  Write(AttentionPlan::Causal(Rows{0, 1, 1, 128, 257, 320, 1000}));
  for (const std::int32_t heads : {1, 3, 16}) {
    // 680 rows: all heads at once, three, one.
    for (const std::int32_t row_bytes : {512, 16000, 1 << 24}) {
      const std::span<const AttentionTile> tiles = QueryTiles();
      std::vector<int> blocks(tiles.size() * static_cast<std::size_t>(heads), 0);
      for (std::int32_t i = 0; i < std::ssize(blocks); ++i) {
        const AttentionBlock block =
            AttentionBlockOf(tiles.data(), view_.document_begin, i, heads, row_bytes);
        ASSERT_GE(block.head, 0);
        ASSERT_LT(block.head, heads);
        ++blocks[Count(block.tile * heads + block.head)];
      }
      EXPECT_TRUE(std::ranges::all_of(blocks, [](int count) { return count == 1; }))
          << heads << " heads of " << row_bytes << " bytes";
      const AttentionBlock second =
          AttentionBlockOf(tiles.data(), view_.document_begin, 1, heads, row_bytes);
      const bool alone = heads == 1 || row_bytes == 1 << 24;
      EXPECT_EQ(second.tile, alone ? 1 : 0);
      EXPECT_EQ(second.head, alone ? 0 : 1);
    }
  }
}

TEST_F(AttentionImageTest, FitsTheBound) {
  const std::int64_t bound = AttentionPlan::ImageBytesBound(1000, 7);
  for (const AttentionPlan& plan :
       {AttentionPlan::Causal(Rows{0, 129, 258, 387, 516, 645, 774, 1000}),
        AttentionPlan::Causal(Rows{0, 1, 2, 3, 4, 5, 6, 1000}),
        AttentionPlan::Causal(Rows{0, 1000}), AttentionPlan::Causal(Rows{0})}) {
    Write(plan);
    EXPECT_LE(plan.ImageBytes(), bound);
  }
}

TEST_F(AttentionImageTest, AnEmptyBatchHasNoTiles) {
  Write(AttentionPlan::Causal(Rows{0, 0}));
  EXPECT_EQ(layout_.num_forward_tiles + layout_.num_query_tiles + layout_.num_key_tiles, 0);
}

}  // namespace
}  // namespace sequela
