// Matrices of 16-bit elements in shared memory as wgmma.mma_async finds them: the PTX manual's
// "Matrix Descriptor Format", "Strides" and "Shared Memory Matrix Layout".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sequela::ptx {

// A matrix of `rows` along M or N (here: rows) by 16 along K. Its 16-byte pieces of 8 elements lie
// along K (K-major), or along the rows (MN-major).
struct MatrixDescriptor {
  std::uint64_t start = 0;
  std::uint64_t leading = 0;   // bytes: the leading-dimension offset
  std::uint64_t stride = 0;    // bytes: the stride-dimension offset
  std::uint64_t swizzle = 16;  // bytes of a row of the pattern, in which pieces change places

  // What is wrong with the 64 bits; empty: nothing.
  static std::string Complaint(std::uint64_t bits);
  explicit MatrixDescriptor(std::uint64_t bits);

  // The address of the piece of elements (row, 8 piece ...), and (8 piece ..., k).
  [[nodiscard]] std::uint64_t KMajor(std::uint64_t row, std::uint64_t piece) const {
    const std::uint64_t across = swizzle == 16 ? leading : 16;
    return Swizzled(start + row % 8 * swizzle + row / 8 * stride + piece * across);
  }
  [[nodiscard]] std::uint64_t MnMajor(std::uint64_t k, std::uint64_t piece) const {
    const std::uint64_t width = swizzle / 16;  // pieces
    const std::uint64_t panel = swizzle == 16 ? stride : leading;
    const std::uint64_t eight_k = swizzle == 16 ? leading : stride;
    return Swizzled(start + piece % width * 16 + piece / width * panel + k % 8 * swizzle +
                    k / 8 * eight_k);
  }
  // Calls f with the address of every piece of so many rows.
  template <typename F>
  void ForPieces(bool mn_major, std::uint64_t rows, F&& f) const {
    for (std::uint64_t i = 0; i < (mn_major ? 16 : rows); ++i) {
      for (std::uint64_t piece = 0; piece < (mn_major ? rows / 8 : 2); ++piece) {
        f(mn_major ? MnMajor(i, piece) : KMajor(i, piece));
      }
    }
  }

 private:
  // The bits of the piece in its row of the pattern, changed by those of the row.
  [[nodiscard]] std::uint64_t Swizzled(std::uint64_t address) const {
    return address ^ (address >> 3 & (swizzle - 16));
  }
};

}  // namespace sequela::ptx
