#include "tests/ptx/interpreter/descriptor.h"

#include <fmt/format.h>

namespace sequela::ptx {
namespace {

// Bits `low` and up, so many of them.
std::uint64_t Field(std::uint64_t bits, int low, int count) {
  return bits >> low & ((std::uint64_t{1} << count) - 1);
}
constexpr std::uint64_t kSwizzles[] = {16, 128, 64, 32};

}  // namespace

MatrixDescriptor::MatrixDescriptor(std::uint64_t bits)
    : start(Field(bits, 0, 14) << 4),
      leading(Field(bits, 16, 14) << 4),
      stride(Field(bits, 32, 14) << 4),
      swizzle(kSwizzles[Field(bits, 62, 2)]) {}

std::string MatrixDescriptor::Complaint(std::uint64_t bits) {
  if ((Field(bits, 14, 2) | Field(bits, 30, 2) | Field(bits, 46, 3) | Field(bits, 52, 10)) != 0) {
    return fmt::format("the descriptor {:#x} sets bits that have no meaning", bits);
  }
  if (Field(bits, 49, 3) != 0) return "a descriptor's base offset is not understood";
  const MatrixDescriptor matrix(bits);
  // The pattern repeats after 8 rows, and begins where the address is a multiple of them. A start
  // within its first row is an advance along it.
  if (matrix.start % (8 * matrix.swizzle) / 128 != 0 && matrix.swizzle > 16) {
    return fmt::format(
        "a matrix swizzled by {} bytes begins at {:#x}, not in the first row of the pattern",
        matrix.swizzle, matrix.start);
  }
  return "";
}

}  // namespace sequela::ptx
