// The maps against the definition of the 128-byte swizzle and of the matrix descriptor in the PTX
// ISA ("Asynchronous Warpgroup Level Matrix Shared Memory Layout", "Matrix Descriptor Format").
#include "kernels/layout/panel_tiles.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace sequela::panel {
namespace {

constexpr int kRows = 64;
constexpr int kElementsOfChunk = 8;

// The byte of an element of a tile, as this header places it.
int ByteOf(int rows, int row, int column) {
  return Byte(rows, row, column / kElementsOfChunk) + column % kElementsOfChunk * 2;
}

// What the swizzle does to an address of shared memory: bits 4-6 are XORed with bits 7-9.
std::uint32_t Swizzled(std::uint32_t address) { return address ^ (address >> 7 & 7U) << 4; }

std::uint64_t Field(std::uint64_t descriptor, int first, int last) {
  return descriptor >> first & ((std::uint64_t{1} << (last - first + 1)) - 1);
}

// The byte of element (line, depth) of a product's operand that is named by a descriptor, in the
// canonical layouts. Along columns: lines are rows of 128 bytes, eight to a pattern. Along rows:
// lines are columns, 64 to a panel, and the depth goes down the rows.
std::uint32_t AlongColumns(std::uint64_t descriptor, int line, int depth) {
  const auto start = static_cast<std::uint32_t>(Field(descriptor, 0, 13) << 4);
  const auto stride = static_cast<std::uint32_t>(Field(descriptor, 32, 45) << 4);
  return Swizzled(start + static_cast<std::uint32_t>(line / 8) * stride +
                  static_cast<std::uint32_t>(line % 8 * 128 + depth * 2));
}
std::uint32_t AlongRows(std::uint64_t descriptor, int line, int depth) {
  const auto start = static_cast<std::uint32_t>(Field(descriptor, 0, 13) << 4);
  const auto leading = static_cast<std::uint32_t>(Field(descriptor, 16, 29) << 4);
  const auto stride = static_cast<std::uint32_t>(Field(descriptor, 32, 45) << 4);
  return Swizzled(start + static_cast<std::uint32_t>(line / 64) * leading +
                  static_cast<std::uint32_t>(depth / 8) * stride +
                  static_cast<std::uint32_t>(depth % 8 * 128 + line % 64 * 2));
}

TEST(PanelTilesTest, EveryElementHasItsPlace) {
  for (const int columns : {64, 128}) {
    std::set<int> bytes;
    for (int row = 0; row < kRows; ++row) {
      for (int column = 0; column < columns; ++column) {
        const int byte = ByteOf(kRows, row, column);
        EXPECT_LT(byte, columns / kColumns * PanelBytes(kRows));
        bytes.insert(byte);
      }
    }
    EXPECT_EQ(std::ssize(bytes), kRows * columns);
  }
}

// Eight rows of one chunk, as threads write and products read them.
TEST(PanelTilesTest, AChunkOfEightRowsMeetsAllBanks) {
  for (int chunk = 0; chunk < 16; ++chunk) {
    for (int first = 0; first < kRows; first += 8) {
      std::set<int> banks;
      for (int row = first; row < first + 8; ++row) {
        for (int word = 0; word < kChunkBytes / 4; ++word) {
          banks.insert((Byte(kRows, row, chunk) / 4 + word) % 32);
        }
      }
      EXPECT_EQ(std::ssize(banks), 32);
    }
  }
}

TEST(PanelTilesTest, DescriptorsNameTheElementsAlongColumns) {
  constexpr std::uint32_t kTile = 3 * kPatternBytes;
  for (const int rows : {64, 128}) {
    for (const int first_row : {0, rows - 64}) {
      const std::uint64_t whole =
          Descriptor(kTile + static_cast<std::uint32_t>(first_row * kRowBytes), rows);
      for (int step = 0; step < 8; ++step) {
        const std::uint64_t descriptor = Advance(whole, ColumnStepBytes(rows, step));
        for (int line = 0; line < 64; ++line) {
          for (int depth = 0; depth < 16; ++depth) {
            const int byte = ByteOf(rows, first_row + line, 16 * step + depth);
            ASSERT_EQ(AlongColumns(descriptor, line, depth),
                      kTile + static_cast<std::uint32_t>(byte));
          }
        }
      }
    }
  }
}

TEST(PanelTilesTest, DescriptorsNameTheElementsAlongRows) {
  constexpr std::uint32_t kTile = 5 * kPatternBytes;
  for (int step = 0; step < kRows / 16; ++step) {
    const std::uint64_t descriptor = Advance(Descriptor(kTile, kRows), RowStepBytes(step));
    for (int line = 0; line < 128; ++line) {
      for (int depth = 0; depth < 16; ++depth) {
        const int byte = ByteOf(kRows, 16 * step + depth, line);
        ASSERT_EQ(AlongRows(descriptor, line, depth), kTile + static_cast<std::uint32_t>(byte));
      }
    }
  }
}

TEST(PanelTilesTest, DescriptorsSayWhichSwizzle) {
  const std::uint64_t descriptor = Descriptor(kPatternBytes, kRows);
  EXPECT_EQ(Field(descriptor, 62, 63), 1U);  // 128 bytes
  EXPECT_EQ(Field(descriptor, 49, 51), 0U);  // patterns begin where the address says
  // Of 256 KB of shared memory, the field has the address's lower 18 bits.
  EXPECT_EQ(Field(Descriptor((1U << 18) + kPatternBytes, kRows), 0, 13), kPatternBytes >> 4);
}

}  // namespace
}  // namespace sequela::panel
