// ctest: labels=sanitize timeout=60
// Memory and its layout: the parameter table, flat buffers, bucket plans, the arena, buffers.
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "runtime/arena.h"
#include "runtime/gradient_buckets.h"
#include "runtime/parameter_table.h"
#include "tests/runtime/toy_training.h"

namespace sequela {
namespace {

TEST(ParameterTableTest, JoinedPiecesFollowWithoutPaddingOthersAligned) {
  const ParameterTable table = testing::ToyTable();
  for (int i = 1; i < table.num_pieces(); ++i) {
    const ParameterPiece& piece = table.piece(i);
    const std::int64_t gap = piece.offset - table.piece(i - 1).end();
    if (piece.joined) {
      EXPECT_EQ(gap, 0) << piece.name;
    } else {
      EXPECT_EQ(piece.offset % 32, 0) << piece.name;
      EXPECT_LT(gap, 32) << piece.name;
    }
  }
  EXPECT_EQ(table.num_elements() % kTileElements, 0);
  EXPECT_EQ(table.num_parameters(), 48 + 96 * 48 + 12 + 101 * 48);
  EXPECT_EQ(table.piece(table.Find("k.weight")).rows, 24);
  EXPECT_EQ(table.Find("w"), -1);
}

TEST(ParameterTableTest, FindsThePieceOfEveryElement) {
  const ParameterTable table = testing::ToyTable();
  for (int i = 0; i < table.num_pieces(); ++i) {
    EXPECT_EQ(table.PieceAt(table.piece(i).offset), i);
    EXPECT_EQ(table.PieceAt(table.piece(i).end() - 1), i);
  }
  EXPECT_EQ(table.PieceAt(table.num_elements() - 1), table.num_pieces() - 1);
}

TEST(FlatBuffersTest, JoinedViewsAreTheirPiecesOneAfterTheOther) {
  const ParameterTable table = testing::ToyTable();
  FlatBuffers buffers(table, DType::kBFloat16);
  const int q = table.Find("q.weight");
  std::vector<float> values(24 * 48);
  std::iota(values.begin(), values.end(), -100.0F);
  buffers.SetPiece(q + 1, values);
  const TensorView joined = buffers.JoinedWeight(q, q + 2);
  EXPECT_EQ(joined.rows, 96);
  EXPECT_EQ(joined.columns, 48);
  EXPECT_EQ(ToFloat(joined.As<bf16>()[48 * 48 + 5]), -95.0F);
  EXPECT_EQ(buffers.JoinedGradient(q, q + 2).dtype, DType::kFloat32);
  EXPECT_THROW(buffers.JoinedWeight(q - 1, q), InternalError) << "not joined";
}

TEST(FlatBuffersTest, VectorsStayInFp32) {
  const ParameterTable table = testing::ToyTable();
  FlatBuffers buffers(table, DType::kBFloat16, /*with_gradients=*/false);
  const int bias = table.Find("q.bias");
  const std::vector<float> values = {1.0001F, 2, 3, 4, 5, 6, 7};
  buffers.SetPiece(bias, values);
  EXPECT_EQ(buffers.Vector(bias).As<float>()[0], 1.0001F);
  EXPECT_EQ(buffers.JoinedVector(bias, bias + 1).columns, 12);
  EXPECT_EQ(ToFloat(buffers.Weight(bias).As<bf16>()[0]), 1.0F);
  EXPECT_THROW(buffers.Gradient(bias), InternalError);
  EXPECT_THROW(buffers.Vector(bias - 1), InternalError);
}

TEST(BucketPlanTest, BucketsAndSharesTileTheBufferForAnyNumberOfRanks) {
  for (const int shards : {1, 2, 3, 7, 16}) {
    const BucketPlan plan(41 * kTileElements, 5 * kTileElements * 4, shards);
    EXPECT_EQ(plan.num_buckets(), 9);
    std::int64_t at = 0;
    for (int bucket = 0; bucket < plan.num_buckets(); ++bucket) {
      for (int shard = 0; shard < shards; ++shard) {
        EXPECT_EQ(plan.share(bucket, shard).begin, at);
        at = plan.share(bucket, shard).end;
        EXPECT_EQ(at % kTileElements, 0);
      }
      EXPECT_EQ(plan.ShareOffsets(bucket).back(), plan.bucket(bucket).size());
    }
    EXPECT_EQ(at, 41 * kTileElements);
    std::int64_t total = 0;
    for (int shard = 0; shard < shards; ++shard) total += plan.ShardElements(shard);
    EXPECT_EQ(total, at);
  }
}

TEST(ArenaTest, MeasuresThenServesExactlyThat) {
  const auto plan = [](Arena& arena) {
    float* kept = arena.Allocate<float>(3);
    {
      const ArenaScope scope(arena);
      arena.Allocate<float>(100);
    }
    float* next = arena.Allocate<float>(20);
    return std::pair(kept, next);
  };
  Arena measuring = Arena::Measuring();
  EXPECT_EQ(plan(measuring).first, nullptr);
  EXPECT_EQ(measuring.peak_bytes(), 64 + 448);
  Arena arena(measuring.peak_bytes());
  const auto [kept, next] = plan(arena);
  EXPECT_EQ(next - kept, 16);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(next) % 64, 0U);
  EXPECT_THROW(arena.Allocate<float>(1000), InternalError);
}

TEST(BufferTest, IsZeroAlignedAndMovable) {
  for (const std::int64_t size : {std::int64_t{1}, std::int64_t{5} << 20}) {
    Buffer buffer(size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U);
    EXPECT_TRUE(std::all_of(buffer.bytes().begin(), buffer.bytes().end(),
                            [](std::byte byte) { return byte == std::byte{0}; }));
    buffer.bytes().back() = std::byte{7};
    const Buffer moved = std::move(buffer);
    EXPECT_EQ(moved.bytes().back(), std::byte{7});
  }
  EXPECT_THROW(Buffer(std::int64_t{1} << 60), MachineError);
}

}  // namespace
}  // namespace sequela
