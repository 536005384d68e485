// The maps against the definitions of ldmatrix and mma.m16n8k16 in the PTX ISA, and against the 32
// banks of shared memory.
#include "kernels/layout/mma_tiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>
#include <vector>

#include "kernels/layout/attention_tiles.h"

namespace sequela::mma {
namespace {

struct Element {
  int row = 0;
  int column = 0;
  bool operator==(const Element&) const = default;
};

// A tile in shared memory whose elements name themselves.
template <int kHeadSize>
class Tile {
 public:
  explicit Tile(int rows) : elements_(static_cast<std::size_t>(rows * kHeadSize)) {
    for (int row = 0; row < rows; ++row) {
      for (int column = 0; column < kHeadSize; ++column) {
        const int byte = SwizzledByte<kHeadSize>(row, column / kChunk) + column % kChunk * 2;
        elements_[static_cast<std::size_t>(byte / 2)] = {row, column};
      }
    }
  }
  Element At(int byte) const { return elements_[static_cast<std::size_t>(byte / 2)]; }

 private:
  std::vector<Element> elements_;
};

// ldmatrix.x4: matrix i has the rows that lanes 8 i ... 8 i + 7 name; lane l gets elements 2 (l %
// 4) and the next of row l / 4 of each, or with .trans, of column l / 4.
using Registers = std::array<std::array<Element, 2>, 4>;
template <int kHeadSize>
Registers LoadMatrix(const Tile<kHeadSize>& tile, RowChunk (*lane_map)(int), int row, int chunk,
                     bool transposed, int lane) {
  Registers registers;
  for (int matrix = 0; matrix < 4; ++matrix) {
    for (int i = 0; i < 2; ++i) {
      const int line = transposed ? lane % 4 * 2 + i : lane / 4;
      const int place = transposed ? lane / 4 : lane % 4 * 2 + i;
      const RowChunk named = lane_map(matrix * 8 + line);
      const auto start =
          static_cast<std::uint32_t>(SwizzledByte<kHeadSize>(named.row, named.chunk));
      const auto byte = static_cast<int>(MoveSwizzled<kHeadSize>(start, row, chunk));
      registers[static_cast<std::size_t>(matrix)][static_cast<std::size_t>(i)] =
          tile.At(byte + place * 2);
    }
  }
  return registers;
}

template <typename Size>
class MmaTilesTest : public ::testing::Test {
 public:
  static constexpr int kSize = Size::value;
};
using HeadSizes =
    ::testing::Types<std::integral_constant<int, 64>, std::integral_constant<int, 128>>;
TYPED_TEST_SUITE(MmaTilesTest, HeadSizes);

TYPED_TEST(MmaTilesTest, SwizzleIsOneToOneWithinTheRow) {
  constexpr int kHeadSize = TestFixture::kSize;
  for (int row = 0; row < 16; ++row) {
    std::set<int> places;
    for (int chunk = 0; chunk < kHeadSize / kChunk; ++chunk) {
      const int byte = SwizzledByte<kHeadSize>(row, chunk);
      EXPECT_EQ(byte / (2 * kHeadSize), row);
      EXPECT_EQ(byte % kChunkBytes, 0);
      places.insert(byte);
    }
    EXPECT_EQ(std::ssize(places), kHeadSize / kChunk);
  }
}

TYPED_TEST(MmaTilesTest, MovingIsTheSameAsSwizzlingAnew) {
  constexpr int kHeadSize = TestFixture::kSize;
  for (int lane = 0; lane < 32; ++lane) {
    for (const RowChunk at : {LaneOfA(lane), LaneOfB(lane)}) {
      for (int row = 0; row < 64; row += 8) {
        for (int chunk = 0; chunk < kHeadSize / kChunk; chunk += 2) {
          const auto start = static_cast<std::uint32_t>(SwizzledByte<kHeadSize>(at.row, at.chunk));
          EXPECT_EQ(
              MoveSwizzled<kHeadSize>(start, row, chunk),
              static_cast<std::uint32_t>(SwizzledByte<kHeadSize>(at.row + row, at.chunk + chunk)));
        }
      }
    }
  }
}

TYPED_TEST(MmaTilesTest, LaneOfAGivesOperandA) {
  constexpr int kHeadSize = TestFixture::kSize;
  const Tile<kHeadSize> tile(64);
  for (int lane = 0; lane < 32; ++lane) {
    const Registers a = LoadMatrix(tile, LaneOfA, 48, 6, false, lane);
    for (int i = 0; i < 8; ++i) {  // a_i of the ISA
      const Element want = {48 + lane / 4 + (i / 2 % 2) * 8, 48 + lane % 4 * 2 + i % 2 + i / 4 * 8};
      EXPECT_EQ(a[static_cast<std::size_t>(i / 2)][static_cast<std::size_t>(i % 2)], want);
    }
  }
}

// Element b_i of the ISA is (k, n) = (2 (lane % 4) + i % 2 + 8 (i / 2), lane / 4).
Element OperandB(int lane, int i) { return {lane % 4 * 2 + i % 2 + i / 2 * 8, lane / 4}; }

TYPED_TEST(MmaTilesTest, LaneOfBGivesTwoOperandsBOfRows) {
  constexpr int kHeadSize = TestFixture::kSize;
  const Tile<kHeadSize> tile(64);  // [n][k]
  for (int lane = 0; lane < 32; ++lane) {
    const Registers b = LoadMatrix(tile, LaneOfB, 16, 2, false, lane);
    for (int i = 0; i < 8; ++i) {
      const Element kn = OperandB(lane, i % 4);
      const Element want = {16 + kn.column + i / 4 * 8, 16 + kn.row};
      EXPECT_EQ(b[static_cast<std::size_t>(i / 2)][static_cast<std::size_t>(i % 2)], want);
    }
  }
}

TYPED_TEST(MmaTilesTest, LaneOfATransposedGivesTwoOperandsBOfColumns) {
  constexpr int kHeadSize = TestFixture::kSize;
  const Tile<kHeadSize> tile(64);  // [k][n]
  for (int lane = 0; lane < 32; ++lane) {
    const Registers b = LoadMatrix(tile, LaneOfA, 32, 4, true, lane);
    for (int i = 0; i < 8; ++i) {
      const Element kn = OperandB(lane, i % 4);
      const Element want = {32 + kn.row, 32 + kn.column + i / 4 * 8};
      EXPECT_EQ(b[static_cast<std::size_t>(i / 2)][static_cast<std::size_t>(i % 2)], want);
    }
  }
}

// Accumulators c_i of the ISA: rows lane / 4 and 8 below, columns 2 (lane % 4) and the next. Two
// neighbours of them are a_0 ... a_7 of the next product.
TEST(MmaAccumulatorsTest, AreTheOperandAOfTheNextProduct) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 8; ++i) {
      const int block = i / 4, c = i % 4;
      const Element a = {lane / 4 + (i / 2 % 2) * 8, lane % 4 * 2 + i % 2 + i / 4 * 8};
      EXPECT_EQ((Element{AccumulatorRow(lane, c), block * 8 + AccumulatorColumn(lane, c)}), a);
    }
  }
}

// ---- Banks: 32 of 4 bytes. Wide accesses are served 8 lanes (of 16 bytes) at a time. ----

bool MeetsAllBanks(const std::vector<int>& bytes, int width) {
  std::set<int> banks;
  for (const int byte : bytes) {
    for (int b = 0; b < width; b += 4) banks.insert((byte + b) / 4 % 32);
  }
  return std::ssize(banks) == std::ssize(bytes) * width / 4;
}

TYPED_TEST(MmaTilesTest, LoadMatrixMeetsAllBanks) {
  constexpr int kHeadSize = TestFixture::kSize;
  for (auto* lane_map : {LaneOfA, LaneOfB}) {
    for (int chunk = 0; chunk < kHeadSize / kChunk; chunk += 2) {
      for (int matrix = 0; matrix < 4; ++matrix) {
        std::vector<int> bytes;
        for (int lane = matrix * 8; lane < matrix * 8 + 8; ++lane) {
          const RowChunk at = lane_map(lane);
          bytes.push_back(SwizzledByte<kHeadSize>(at.row, at.chunk + chunk));
        }
        EXPECT_TRUE(MeetsAllBanks(bytes, 16)) << chunk << " " << matrix;
      }
    }
  }
}

// Copies from memory, and results on their way there: consecutive lanes take consecutive chunks.
TYPED_TEST(MmaTilesTest, WholeChunksMeetAllBanks) {
  constexpr int kHeadSize = TestFixture::kSize, kChunks = kHeadSize / kChunk;
  for (int first = 0; first < 16 * kChunks; first += 8) {
    std::vector<int> bytes;
    for (int i = first; i < first + 8; ++i) {
      bytes.push_back(SwizzledByte<kHeadSize>(i / kChunks, i % kChunks));
    }
    EXPECT_TRUE(MeetsAllBanks(bytes, 16)) << first;
  }
}

TYPED_TEST(MmaTilesTest, AccumulatorsOnTheirWayOutMeetAllBanks) {
  constexpr int kHeadSize = TestFixture::kSize;
  for (int chunk = 0; chunk < kHeadSize / kChunk; ++chunk) {
    for (const int half : {0, 2}) {
      std::vector<int> bytes;
      for (int lane = 0; lane < 32; ++lane) {
        bytes.push_back(SwizzledByte<kHeadSize>(AccumulatorRow(lane, half), chunk) +
                        2 * AccumulatorColumn(lane, half));
      }
      EXPECT_TRUE(MeetsAllBanks(bytes, 4)) << chunk;
    }
  }
}

TEST(AttentionPlainTilesTest, StagedRowsMeetAllBanks) {
  for (int head_size = 8; head_size <= 256; head_size += 8) {
    std::vector<int> bytes;
    for (int lane = 0; lane < 32; ++lane) {
      bytes.push_back(4 * lane * AttentionPlainTiles::StagedStride(head_size));
    }
    EXPECT_TRUE(MeetsAllBanks(bytes, 4)) << head_size;
  }
}

// ---- The table of tiles ----

TEST(AttentionTilesTest, FitSharedMemoryAndWarps) {
  for (const int head_size : {64, 128}) {
    for (const AttentionKernelTiles& tiles :
         {AttentionForwardTiles(head_size), kAttentionQueryGradientTiles,
          kAttentionKeyGradientTiles}) {
      EXPECT_EQ(tiles.warp_rows() * tiles.warps, tiles.owned);
      EXPECT_EQ(tiles.warp_rows() % 16, 0);
      EXPECT_EQ(tiles.step % 16, 0);
      EXPECT_GE(tiles.stages, 2);
      // MoveSwizzled wants every tile at a multiple of 256 bytes.
      EXPECT_EQ(tiles.owned_bytes(head_size) % 256, 0);
      EXPECT_EQ(tiles.stage_bytes(head_size) % 256, 0);
      EXPECT_EQ(2 * tiles.owned * head_size % 256 + 2 * tiles.step * head_size % 256, 0);
      EXPECT_LE(tiles.shared_bytes(head_size), 99 << 10);  // the least of sm_80 and later
    }
  }
}

}  // namespace
}  // namespace sequela::mma
