// ctest: labels=ptx
// ldmatrix, stmatrix and mma.sync by the manual's tables of which lane holds which element.
#include <gtest/gtest.h>

#include "tests/ptx/instruction_testing.h"

namespace sequela::ptx {
namespace {

using Matrix = std::vector<std::vector<float>>;  // by row and column

std::uint32_t Bf16(float value) {
  return std::bit_cast<std::uint32_t>(value) >> 16;  // the tests' values fit
}
// Two elements in one register, the first in the low half.
std::uint32_t Packed(float first, float second) { return Bf16(first) | Bf16(second) << 16; }

// The manual's figures for .m16n8k16 with 16-bit A and B and 32-bit accumulators: the row and
// column of a lane's element i.
struct Place {
  std::size_t row;
  std::size_t column;
};
Place OfA(std::size_t lane, std::size_t i) {
  const bool upper = i < 2 || (4 <= i && i < 6);
  return {lane / 4 + (upper ? 0 : 8), lane % 4 * 2 + (i & 1) + (i < 4 ? 0 : 8)};
}
Place OfB(std::size_t lane, std::size_t i) {
  return {lane % 4 * 2 + (i & 1) + (i < 2 ? 0 : 8), lane / 4};
}
Place OfC(std::size_t lane, std::size_t i) {
  return {lane / 4 + (i < 2 ? 0 : 8), lane % 4 * 2 + (i & 1)};
}

// Small integers: their products and sums are exact in any order.
Matrix Integers(std::size_t rows, std::size_t columns, int seed) {
  Matrix matrix(rows, std::vector<float>(columns));
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      matrix[r][c] =
          static_cast<float>(static_cast<int>(r * 31 + c * 17 + r * c * 7 + seed) % 15 - 7);
    }
  }
  return matrix;
}

constexpr std::size_t kWords = 10;  // of a lane's input: A 4, B 2, C 4
std::vector<std::uint32_t> Fragments(const Matrix& a, const Matrix& b, const Matrix& c) {
  std::vector<std::uint32_t> words;
  const auto at = [](const Matrix& matrix, Place p) { return matrix[p.row][p.column]; };
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (std::size_t i = 0; i < 8; i += 2) {
      words.push_back(Packed(at(a, OfA(lane, i)), at(a, OfA(lane, i + 1))));
    }
    for (std::size_t i = 0; i < 4; i += 2) {
      words.push_back(Packed(at(b, OfB(lane, i)), at(b, OfB(lane, i + 1))));
    }
    for (std::size_t i = 0; i < 4; ++i) {
      words.push_back(static_cast<std::uint32_t>(Bits(at(c, OfC(lane, i)))));
    }
  }
  return words;
}

const std::string kLoadFragments =
    "mul.wide.u32 %row, %thread, 40;\nadd.s64 %in, %in, %row;\n"
    "ld.global.v2.b32 {%r0, %r1}, [%in];\nld.global.v2.b32 {%r2, %r3}, [%in+8];\n"
    "ld.global.v2.b32 {%r4, %r5}, [%in+16];\nld.global.v2.f32 {%f0, %f1}, [%in+24];\n"
    "ld.global.v2.f32 {%f2, %f3}, [%in+32];\n";
const std::string kStoreProduct =
    "mul.wide.u32 %row, %thread, 16;\nadd.s64 %out, %out, %row;\n"
    "st.global.v4.f32 [%out], {%f4, %f5, %f6, %f7};";

std::vector<float> Multiply(const std::string& types, const std::vector<std::uint32_t>& words) {
  Registered<std::uint32_t> in(words);
  Registered<float> out(32 * 4);
  RunText(KernelText("sequela_text", kLoadFragments + "mma.sync.aligned.m16n8k16.row.col." + types +
                                         " {%f4, %f5, %f6, %f7}, {%r0, %r1, %r2, %r3}, {%r4, %r5}, "
                                         "{%f0, %f1, %f2, %f3};\n" +
                                         kStoreProduct),
          in.data(), out.data());
  return out.values();
}

TEST(MatrixTest, ProductOfBf16) {
  static_assert(kWords * 4 == 40);
  const Matrix a = Integers(16, 16, 3);
  const Matrix b = Integers(16, 8, 5);
  const Matrix c = Integers(16, 8, 11);
  const std::vector<float> got = Multiply("f32.bf16.bf16.f32", Fragments(a, b, c));
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (std::size_t i = 0; i < 4; ++i) {
      const Place p = OfC(lane, i);
      float expected = c[p.row][p.column];
      for (std::size_t k = 0; k < 16; ++k) expected += a[p.row][k] * b[k][p.column];
      EXPECT_EQ(got[lane * 4 + i], expected) << lane << " " << i;
    }
  }
}

TEST(MatrixTest, ProductOfBf16IsWithinTheBoundOfTensorCores) {
  Matrix a = Integers(16, 16, 3);
  Matrix b = Integers(16, 8, 5);
  Matrix c = Integers(16, 8, 11);
  for (auto& row : a) {
    for (float& value : row) value = std::ldexp(value, static_cast<int>(value) * 2);
  }
  for (auto& row : c) {
    for (float& value : row) value /= 3.0F;
  }
  const std::vector<float> got = Multiply("f32.bf16.bf16.f32", Fragments(a, b, c));
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (std::size_t i = 0; i < 4; ++i) {
      const Place p = OfC(lane, i);
      double expected = c[p.row][p.column];
      double magnitude = std::abs(expected);
      for (std::size_t k = 0; k < 16; ++k) {
        const double product = double{a[p.row][k]} * b[k][p.column];
        expected += product;
        magnitude += std::abs(product);
      }
      EXPECT_NEAR(got[lane * 4 + i], expected, 2 * 17 * 0x1p-23 * magnitude);
    }
  }
}

TEST(MatrixTest, NotANumberAndInfinitySpreadAlongTheirRow) {
  Matrix a = Integers(16, 16, 3);
  const Matrix b(16, std::vector<float>(8, 1.0F));
  a[5][2] = std::numeric_limits<float>::infinity();
  a[9][15] = std::bit_cast<float>(0x7fc00000U);
  const std::vector<float> got = Multiply("f32.bf16.bf16.f32", Fragments(a, b, Integers(16, 8, 1)));
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (std::size_t i = 0; i < 4; ++i) {
      const Place p = OfC(lane, i);
      EXPECT_EQ(std::isinf(got[lane * 4 + i]), p.row == 5);
      EXPECT_EQ(std::isnan(got[lane * 4 + i]), p.row == 9);
    }
  }
}

// A shared tile of 32 rows of 8 elements, numbered; each lane points ldmatrix at one row.
const std::string kTile =
    ".shared .align 16 .b8 tile[512];\nmul.wide.u32 %row, %thread, 16;\nadd.s64 %in, %in, %row;\n"
    "ld.global.v4.b32 {%r0, %r1, %r2, %r3}, [%in];\nmov.u32 %r8, tile;\nshl.b32 %r9, %thread, 4;\n"
    "add.u32 %r9, %r9, %r8;\nst.shared.v4.b32 [%r9], {%r0, %r1, %r2, %r3};\n"
    "mov.u32 %r10, 0;\nmov.u32 %r11, 0;\nmov.u32 %r12, 0;\nmov.u32 %r13, 0;\nbar.sync 0;\n";
const std::string kStoreFour =
    "mul.wide.u32 %row, %thread, 16;\nadd.s64 %out, %out, %row;\n"
    "st.global.v4.b32 [%out], {%r10, %r11, %r12, %r13};";

std::vector<std::uint16_t> Numbered() {
  std::vector<std::uint16_t> numbers(32 * 8);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = static_cast<std::uint16_t>(i * 251 + 7);
  }
  return numbers;
}

std::vector<std::uint32_t> OnTile(const std::string& body) {
  Registered<std::uint16_t> in(Numbered());
  Registered<std::uint32_t> out(32 * 4);
  RunText(KernelText("sequela_text", kTile + body + "\n" + kStoreFour), in.data(), out.data());
  return out.values();
}

void ExpectLoaded(const std::string& instruction, std::size_t matrices, bool transposed) {
  const std::vector<std::uint16_t> tile = Numbered();
  const std::vector<std::uint32_t> got = OnTile(instruction);
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (std::size_t m = 0; m < 4; ++m) {
      std::uint32_t expected = 0;
      for (std::size_t i = 0; i < 2 && m < matrices; ++i) {
        std::size_t row = lane / 4;
        std::size_t column = lane % 4 * 2 + i;
        if (transposed) std::swap(row, column);
        expected |= std::uint32_t{tile[(m * 8 + row) * 8 + column]} << (16 * i);
      }
      EXPECT_EQ(got[lane * 4 + m], expected) << instruction << " " << lane << " " << m;
    }
  }
}

TEST(MatrixTest, LdmatrixDealsRowsToLanes) {
  for (const bool transposed : {false, true}) {
    const std::string trans = transposed ? ".trans" : "";
    ExpectLoaded(
        "ldmatrix.sync.aligned.m8n8.x4" + trans + ".shared.b16 {%r10, %r11, %r12, %r13}, [%r9];", 4,
        transposed);
    ExpectLoaded("ldmatrix.sync.aligned.m8n8.x2" + trans + ".shared.b16 {%r10, %r11}, [%r9];", 2,
                 transposed);
    ExpectLoaded("ldmatrix.sync.aligned.m8n8.x1" + trans + ".shared.b16 {%r10}, [%r9];", 1,
                 transposed);
  }
}

// Rows in any order: lane l points at row 31 - l.
TEST(MatrixTest, LdmatrixTakesEachRowsOwnAddress) {
  const std::vector<std::uint16_t> tile = Numbered();
  const std::vector<std::uint32_t> got = OnTile(
      "sub.u32 %r14, 31, %thread;\nshl.b32 %r14, %r14, 4;\nadd.u32 %r14, %r14, %r8;\n"
      "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r13}, [%r14];");
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (std::size_t m = 0; m < 4; ++m) {
      const std::size_t at = (31 - (m * 8 + lane / 4)) * 8 + lane % 4 * 2;
      EXPECT_EQ(got[lane * 4 + m], tile[at] | std::uint32_t{tile[at + 1]} << 16);
    }
  }
}

TEST(MatrixTest, StmatrixIsTheInverseOfLdmatrix) {
  for (const std::string trans : {"", ".trans"}) {
    const std::vector<std::uint32_t> got =
        OnTile("ldmatrix.sync.aligned.m8n8.x4" + trans +
               ".shared.b16 {%r10, %r11, %r12, %r13}, [%r9];\nbar.sync 0;\n"
               "st.shared.v4.b32 [%r9], {%r8, %r8, %r8, %r8};\nbar.sync 0;\n"
               "stmatrix.sync.aligned.m8n8.x4" +
               trans +
               ".shared.b16 [%r9], {%r10, %r11, %r12, %r13};\nbar.sync 0;\n"
               "ld.shared.v4.b32 {%r10, %r11, %r12, %r13}, [%r9];");
    const std::vector<std::uint16_t> tile = Numbered();
    for (std::size_t i = 0; i < 32 * 4; ++i) {
      EXPECT_EQ(got[i], tile[2 * i] | std::uint32_t{tile[2 * i + 1]} << 16);
    }
  }
}

}  // namespace
}  // namespace sequela::ptx
