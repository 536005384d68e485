// Tiles in shared memory as sm_90a's warpgroup products read them (PTX ISA, "Asynchronous Warpgroup
// Level Matrix Shared Memory Layout", 128-byte swizzle): columns are cut into panels of 64 bf16, a
// panel is rows of 128 bytes, and a chunk of 16 bytes lies at its own place XOR the row's lowest
// three bits. Eight rows are one pattern of 1,024 bytes, at a multiple of which every panel begins.
#pragma once

#include <cstdint>

#include "kernels/base/host_device.h"

namespace sequela::panel {

inline constexpr int kColumns = 64;  // bf16
inline constexpr int kRowBytes = 2 * kColumns;
inline constexpr int kChunkBytes = 16;
inline constexpr int kChunks = kRowBytes / kChunkBytes;
inline constexpr int kPatternBytes = 8 * kRowBytes;

// From one panel to the next in a tile of `rows` rows.
SEQUELA_HOST_DEVICE constexpr int PanelBytes(int rows) { return rows * kRowBytes; }

// The byte of chunk `chunk`, counted over the whole row, of row `row` in a tile of `rows` rows.
SEQUELA_HOST_DEVICE constexpr int Byte(int rows, int row, int chunk) {
  return chunk / kChunks * PanelBytes(rows) + row * kRowBytes +
         ((chunk % kChunks) ^ (row & 7)) * kChunkBytes;
}

// Where columns from 16 * step on begin, for products over columns.
SEQUELA_HOST_DEVICE constexpr int ColumnStepBytes(int rows, int step) {
  return step / 4 * PanelBytes(rows) + step % 4 * 32;
}
// Where rows from 16 * step on begin, for products over rows.
SEQUELA_HOST_DEVICE constexpr int RowStepBytes(int step) { return step * 16 * kRowBytes; }

// The matrix descriptor ("Matrix Descriptor Format") of what begins at `address` of shared memory
// in a tile of `rows` rows; read along columns or along rows. Strides: from panel to panel, which
// only products that are wider than a panel use, and from pattern to pattern.
SEQUELA_HOST_DEVICE constexpr std::uint64_t Descriptor(std::uint32_t address, int rows) {
  constexpr std::uint64_t kSwizzle128 = 1;
  const auto field = [](std::uint64_t bytes) { return bytes >> 4 & 0x3fff; };
  return field(address & 0x3ffff) | field(static_cast<std::uint64_t>(PanelBytes(rows))) << 16 |
         field(kPatternBytes) << 32 | kSwizzle128 << 62;
}
// The same, `bytes` further on.
SEQUELA_HOST_DEVICE constexpr std::uint64_t Advance(std::uint64_t descriptor, int bytes) {
  return descriptor + static_cast<std::uint64_t>(bytes >> 4);
}

}  // namespace sequela::panel
