// Where the elements of m16n8k16 products live: in shared memory (swizzled tiles) and in the
// registers of a warp's 32 lanes. PTX ISA, "Matrix fragments for mma.m16n8k16" and "ldmatrix".
// Everything is a function of small integers, so that the CPU's tests can hold it against the
// definition, bank conflicts included.
//
// A tile is rows of H bf16 (H 64 or 128), cut into chunks of 8 elements = 16 bytes: what one
// cp.async writes, and one row of an 8x8 matrix of ldmatrix. A chunk lies at its own place XOR the
// row's lowest three bits, so that one column of chunks of 8 rows meets all 32 banks.
#pragma once

#include <cstdint>

#include "kernels/base/host_device.h"

namespace sequela::mma {

inline constexpr int kChunk = 8;        // elements
inline constexpr int kChunkBytes = 16;  // of bf16

// The byte of chunk `chunk` of row `row` in a tile of rows of kHeadSize elements.
template <int kHeadSize>
SEQUELA_HOST_DEVICE constexpr int SwizzledByte(int row, int chunk) {
  static_assert(kHeadSize % 64 == 0, "eight chunks or a multiple: the XOR stays within the row");
  return row * kHeadSize * 2 + (chunk ^ (row & 7)) * kChunkBytes;
}

// From there `rows` (a multiple of 8) down and `chunks` (even, from a chunk 0 or 1) to the right:
// one XOR and a constant. REQUIRES: the tile begins at a multiple of 256 bytes.
template <int kHeadSize>
SEQUELA_HOST_DEVICE constexpr std::uint32_t MoveSwizzled(std::uint32_t byte, int rows, int chunks) {
  return (byte ^ static_cast<std::uint32_t>(chunks * kChunkBytes)) +
         static_cast<std::uint32_t>(rows * kHeadSize * 2);
}

struct RowChunk {
  int row;
  int chunk;
};

// Which chunk a lane names to ldmatrix.x4, relative to the fragment's first row and chunk.
//
// 16 rows x 16 columns in the order (rows 0-7, columns 0-7), (8-15, 0-7), (0-7, 8-15), (8-15,
// 8-15): operand A. With .trans the same order gives, of a tile [k][n], two B operands: registers
// 0-1 for columns n 0-7, 2-3 for 8-15.
SEQUELA_HOST_DEVICE constexpr RowChunk LaneOfA(int lane) { return {lane & 15, lane >> 4}; }

// Of a tile [n][k], 16 rows x 16 columns in the order (rows 0-7, columns 0-7), (0-7, 8-15), (8-15,
// 0-7), (8-15, 8-15): two B operands, registers 0-1 for rows n 0-7, 2-3 for 8-15.
SEQUELA_HOST_DEVICE constexpr RowChunk LaneOfB(int lane) {
  return {(lane & 7) + ((lane >> 4) << 3), (lane >> 3) & 1};
}

// Accumulators: register i of a lane is element (AccumulatorRow, AccumulatorColumn) of 16 x 8.
// Registers 2j, 2j + 1 packed as two bf16 are a register of operand A: the accumulators of columns
// 16 s ... 16 s + 15 are the A operand of step s over these columns.
SEQUELA_HOST_DEVICE constexpr int AccumulatorRow(int lane, int i) { return lane / 4 + i / 2 * 8; }
SEQUELA_HOST_DEVICE constexpr int AccumulatorColumn(int lane, int i) {
  return lane % 4 * 2 + i % 2;
}

}  // namespace sequela::mma
