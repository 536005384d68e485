// ctest: labels=ptx
// wgmma.mma_async by the manual's layouts: of matrices in shared memory, of fragments in registers;
// what must stand around it; and what may not be touched until it is over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ptx/instruction_testing.h"

namespace sequela::ptx {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Matrix = std::vector<std::vector<float>>;  // by row (M or N) and k
using Image = std::vector<std::uint8_t>;         // of shared memory

constexpr std::size_t kThreads = 128;
constexpr std::size_t kM = 64;

std::uint16_t Bf16(float value) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
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

// The manual's swizzling modes: bytes of a row of the atom, 0 for none.
struct Mode {
  std::uint64_t code;
  std::size_t bytes;
};
constexpr Mode kNone = {0, 0};
constexpr Mode k128 = {1, 128};
constexpr Mode k64 = {2, 64};
constexpr Mode k32 = {3, 32};

// An atom has 8 rows of mode.bytes one after the other, and the pattern is one of lines of 128
// bytes: in line l, the 16-byte units of a row change places by the exclusive or with l.
std::size_t InAtom(Mode mode, std::size_t row, std::size_t byte) {
  const std::size_t line = row * mode.bytes / 128;
  const std::size_t unit = (byte / 16) ^ (line % (mode.bytes / 16));
  return row * mode.bytes + unit * 16 + byte % 16;
}

// A matrix of `rows` by `depth` in shared memory, with gaps between atoms.
struct Layout {
  Mode mode;
  bool mn_major;
  std::size_t rows;
  std::size_t base = 0;

  // Elements along K for which the layout is made: several products' worth.
  [[nodiscard]] std::size_t Depth() const {
    return mn_major || mode.bytes == 0 ? 32 : mode.bytes / 2;
  }
  [[nodiscard]] std::size_t Atom() const { return mode.bytes == 0 ? 128 : 8 * mode.bytes; }
  [[nodiscard]] std::size_t Stride() const {
    // Without swizzle, MN-major: from 8 elements of MN to the next; everywhere else of 8 rows.
    return mn_major && mode.bytes == 0 ? 2 * Depth() / 8 * Atom() : 2 * Atom();
  }
  [[nodiscard]] std::size_t Leading() const {
    if (mn_major) return mode.bytes == 0 ? 2 * Atom() : 2 * Depth() / 8 * Atom();
    return mode.bytes == 0 ? 2 * rows / 8 * Atom() : 0;
  }
  [[nodiscard]] std::size_t Place(std::size_t row, std::size_t k) const {
    if (mode.bytes == 0) {
      return base + row / 8 * Stride() + k / 8 * Leading() +
             (mn_major ? k % 8 * 16 + row % 8 * 2 : row % 8 * 16 + k % 8 * 2);
    }
    if (!mn_major) return base + row / 8 * Stride() + InAtom(mode, row % 8, 2 * k);
    const std::size_t wide = mode.bytes / 2;
    return base + row / wide * Leading() + k / 8 * Stride() + InAtom(mode, k % 8, row % wide * 2);
  }
  // Of the product of elements k, k + 1, ..., k + 15.
  [[nodiscard]] std::uint64_t Descriptor(std::size_t k) const {
    std::size_t start = base;
    if (mode.bytes == 0) {
      start += k / 8 * Leading();
    } else {
      start += mn_major ? k / 8 * Stride() : 2 * k;  // within the row
    }
    return start >> 4 | Leading() >> 4 << 16 | std::uint64_t{Stride() >> 4} << 32 | mode.code << 62;
  }
  void Write(const Matrix& matrix, Image& image) const {
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t k = 0; k < Depth(); ++k) {
        const std::uint16_t bits = Bf16(matrix[row][k]);
        const std::size_t at = Place(row, k);
        if (image.size() < at + 2) image.resize((at + 1024) / 1024 * 1024);
        std::memcpy(image.data() + at, &bits, 2);
      }
    }
  }
};

struct Case {
  Layout a = {k128, false, kM};
  Layout b = {k128, false, 64};
  bool a_in_registers = false;
  std::string scale_d = "1";
  int scale_a = 1;
  int scale_b = 1;
};

// The manual's figures for .m64nNk16: the row and column of a thread's i-th element.
struct Spot {
  std::size_t row;
  std::size_t column;
};
Spot OfD(std::size_t thread, std::size_t i) {
  const std::size_t lane = thread % 32;
  return {thread / 32 * 16 + lane / 4 + i / 2 % 2 * 8, i / 4 * 8 + lane % 4 * 2 + i % 2};
}
Spot OfA(std::size_t thread, std::size_t i) {
  const std::size_t lane = thread % 32;
  return {thread / 32 * 16 + lane / 4 + i / 2 % 2 * 8, lane % 4 * 2 + i % 2 + i / 4 * 8};
}

std::string List(const std::string& prefix, std::size_t count) {
  std::string list;
  for (std::size_t i = 0; i < count; ++i) {
    list += fmt::format("{}{}{}", i == 0 ? "" : ", ", prefix, i);
  }
  return list;
}

// Of the product of `depth` elements from k on. %d0 and %d1 hold nothing else.
std::string Instruction(const Case& c, std::size_t k) {
  std::string text =
      fmt::format("mov.b64 %d0, {};\nmov.b64 %d1, {};\n", c.a.Descriptor(k), c.b.Descriptor(k));
  text += fmt::format(
      "wgmma.mma_async.sync.aligned.m64n{}k16.f32.bf16.bf16 {{{}}}, {}, %d1, {}, ", c.b.rows,
      List("%acc", c.b.rows / 2),
      c.a_in_registers ? fmt::format("{{{}}}", List(fmt::format("%a{}_", k / 16), 4)) : "%d0",
      c.scale_d);
  text += fmt::format("{}, {}, ", c.scale_a, c.scale_b);
  if (!c.a_in_registers) text += fmt::format("{}, ", c.a.mn_major ? 1 : 0);
  return text + fmt::format("{};\n", c.b.mn_major ? 1 : 0);
}

std::size_t Products(const Case& c) {
  return c.a_in_registers ? 1 : std::min(c.a.Depth(), c.b.Depth()) / 16;
}

// What stands before, between and after the products.
const std::string kProxyFence = "fence.proxy.async.shared::cta;\n";
const std::string kBarrier = "bar.sync 0;\n";
const std::string kFence = "wgmma.fence.sync.aligned;\n";
const std::string kCommit = "wgmma.commit_group.sync.aligned;\n";
const std::string kWait = "wgmma.wait_group.sync.aligned 0;\n";

// %in: the image of shared memory, then by thread 4 words of A and the accumulators. Each thread
// copies each 128th piece of the image.
std::string Text(const Case& c, std::size_t image_bytes, const std::string& middle) {
  const std::size_t registers = c.b.rows / 2;
  std::string text = fmt::format(
      ".reg .b32 %acc<{}>;\n.reg .b32 %a0_<4>;\n.reg .b32 %at, %base, %w<4>;\n"
      ".reg .pred %more, %yes, %no;\n"
      "setp.eq.u32 %yes, %thread, %thread;\nnot.pred %no, %yes;\n"
      "mov.u32 %base, smem;\nshl.b32 %at, %thread, 4;\n"
      "$copy:\ncvt.u64.u32 %row, %at;\nadd.s64 %row, %in, %row;\n"
      "ld.global.v4.b32 {{%w0, %w1, %w2, %w3}}, [%row];\nadd.u32 %r0, %base, %at;\n"
      "st.shared.v4.b32 [%r0], {{%w0, %w1, %w2, %w3}};\nadd.u32 %at, %at, 2048;\n"
      "setp.lt.u32 %more, %at, {};\n@%more bra $copy;\n",
      registers, image_bytes);
  text += fmt::format(
      "add.s64 %in, %in, {};\nmul.wide.u32 %row, %thread, {};\nadd.s64 %in, %in, %row;\n",
      image_bytes, 16 + 4 * registers);
  for (std::size_t i = 0; i < 4; ++i) {
    text += fmt::format("ld.global.b32 %a0_{}, [%in+{}];\n", i, 4 * i);
  }
  for (std::size_t i = 0; i < registers; ++i) {
    text += fmt::format("ld.global.b32 %acc{}, [%in+{}];\n", i, 16 + 4 * i);
  }
  text += middle;
  text +=
      fmt::format("mul.wide.u32 %row, %thread, {};\nadd.s64 %out, %out, %row;\n", 4 * registers);
  for (std::size_t i = 0; i < registers; ++i) {
    text += fmt::format("st.global.b32 [%out+{}], %acc{};\n", 4 * i, i);
  }
  return KernelText("sequela_text", text, ".extern .shared .align 1024 .b8 smem[];");
}

struct Data {
  Matrix a;
  Matrix b;
  Matrix d;
};
Data DataOf(const Case& c) {
  const std::size_t depth = std::max(c.a.Depth(), c.b.Depth());
  return {Integers(kM, depth, 3), Integers(c.b.rows, depth, 5), Integers(kM, c.b.rows, 11)};
}

std::string Ordinary(const Case& c) {
  std::string text = kProxyFence + kBarrier + kFence;
  for (std::size_t i = 0; i < Products(c); ++i) text += Instruction(c, 16 * i);
  return text + kCommit + kWait;
}

std::vector<float> RunCase(const Case& c, const std::string& middle,
                           std::uint32_t threads = kThreads) {
  const Data data = DataOf(c);
  Image image;
  if (!c.a_in_registers) c.a.Write(data.a, image);
  c.b.Write(data.b, image);
  image.resize((image.size() + 2047) / 2048 * 2048);
  std::vector<std::uint32_t> words(image.size() / 4);
  std::memcpy(words.data(), image.data(), image.size());
  for (std::size_t thread = 0; thread < threads; ++thread) {
    for (std::size_t i = 0; i < 8; i += 2) {
      const auto at = [&](std::size_t j) {
        const Spot spot = OfA(thread, j);
        return std::uint32_t{Bf16(data.a[spot.row % kM][spot.column])};
      };
      words.push_back(at(i) | at(i + 1) << 16);
    }
    for (std::size_t i = 0; i < c.b.rows / 2; ++i) {
      const Spot spot = OfD(thread, i);
      words.push_back(static_cast<std::uint32_t>(Bits(data.d[spot.row % kM][spot.column])));
    }
  }
  Registered<std::uint32_t> in(words);
  Registered<float> out(threads * c.b.rows / 2);
  RunText(Text(c, image.size(), middle), in.data(), out.data(), threads, 1,
          static_cast<std::uint32_t>(image.size()));
  return out.values();
}

std::string Name(const Case& c) {
  const auto layout = [](const Layout& l) {
    return fmt::format("{} bytes {}", l.mode.bytes, l.mn_major ? "MN-major" : "K-major");
  };
  return fmt::format("A {}, B {}, n {}, scale-d {}, {} {}",
                     c.a_in_registers ? "in registers" : layout(c.a), layout(c.b), c.b.rows,
                     c.scale_d, c.scale_a, c.scale_b);
}

// The first element that is another than D + A B; empty: none.
std::string Difference(const Case& c, bool adds = true) {
  const Data data = DataOf(c);
  const std::vector<float> got = RunCase(c, Ordinary(c));
  const auto sign = static_cast<float>(c.scale_a * c.scale_b);
  for (std::size_t thread = 0; thread < kThreads; ++thread) {
    for (std::size_t i = 0; i < c.b.rows / 2; ++i) {
      const Spot spot = OfD(thread, i);
      float expected = adds ? data.d[spot.row][spot.column] : 0.0F;
      // With scale-d 0, only the last product is left.
      for (std::size_t k = adds ? 0 : 16 * (Products(c) - 1); k < 16 * Products(c); ++k) {
        expected += sign * data.a[spot.row][k] * data.b[spot.column][k];
      }
      const float value = got[thread * c.b.rows / 2 + i];
      if (value != expected) {
        return fmt::format("{}: D[{}, {}] is {}, not {}", Name(c), spot.row, spot.column, value,
                           expected);
      }
    }
  }
  return "";
}

class WgmmaTest : public ::testing::TestWithParam<Async> {
 protected:
  void SetUp() override { SetOptions({.async = GetParam()}); }
  void TearDown() override { SetOptions(before_); }
  Options before_ = CurrentOptions();
};
INSTANTIATE_TEST_SUITE_P(Moments, WgmmaTest,
                         ::testing::Values(Async::kEarliest, Async::kLatest, Async::kBoth));

TEST_P(WgmmaTest, MultipliesMatricesOfEveryLayout) {
  for (const Mode a : {kNone, k128, k64, k32}) {
    for (const Mode b : {kNone, k128, k64, k32}) {
      for (const int majors : {0, 1, 2, 3}) {
        Case c{.a = {a, majors % 2 == 1, kM}, .b = {b, majors / 2 == 1, 64, 32768}};
        EXPECT_EQ(Difference(c), "");
      }
    }
  }
}

TEST_P(WgmmaTest, TakesAFromRegisters) {
  for (const Mode b : {kNone, k128, k64, k32}) {
    for (const bool mn_major : {false, true}) {
      EXPECT_EQ(Difference({.b = {b, mn_major, 128}, .a_in_registers = true}), "");
    }
  }
}

TEST_P(WgmmaTest, HasEveryWidth) {
  for (std::size_t n = 8; n <= 256; n += n < 32 ? 8 : 56) {
    EXPECT_EQ(Difference({.b = {k128, false, n, 32768}}), "");
    EXPECT_EQ(Difference({.b = {k128, true, n, 32768}}), "");
    EXPECT_EQ(Difference({.b = {k128, false, n}, .a_in_registers = true}), "");
  }
}

TEST_P(WgmmaTest, NegatesAndStartsAfresh) {
  Case c{.b = {k128, true, 128, 32768}};
  for (const int a : {1, -1}) {
    for (const int b : {1, -1}) {
      for (const bool in_registers : {false, true}) {
        c.scale_a = a;
        c.scale_b = b;
        c.a_in_registers = in_registers;
        for (const std::string scale_d : {"1", "%yes", "!%no"}) {
          c.scale_d = scale_d;
          EXPECT_EQ(Difference(c), "");
        }
        for (const std::string scale_d : {"0", "%no", "!%yes"}) {
          c.scale_d = scale_d;
          EXPECT_EQ(Difference(c, false), "");
        }
      }
    }
  }
}

}  // namespace
}  // namespace sequela::ptx
