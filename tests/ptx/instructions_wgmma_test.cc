// ctest: labels=ptx
// wgmma.mma_async by the manual's layouts: of matrices in shared memory, of fragments in registers;
// what must stand around it; and what may not be touched until it is over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ptx/instruction_testing.h"
#include "tests/ptx/interpreter/format16.h"

namespace sequela::ptx {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Matrix = std::vector<std::vector<float>>;  // by row (M or N) and k
using Image = std::vector<std::uint8_t>;         // of shared memory

constexpr std::size_t kThreads = 128;
constexpr std::size_t kM = 64;

// An element as f16 or bf16. The tests' values fit.
std::uint16_t Element(float value, bool half) {
  if (half) return static_cast<std::uint16_t>(F16().Nearest(value));
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
  void Write(const Matrix& matrix, bool half, Image& image) const {
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t k = 0; k < Depth(); ++k) {
        const std::uint16_t bits = Element(matrix[row][k], half);
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
  bool half = false;
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
      "wgmma.mma_async.sync.aligned.m64n{}k16.f32.{} {{{}}}, {}, %d1, {}, ", c.b.rows,
      c.half ? "f16.f16" : "bf16.bf16", List("%acc", c.b.rows / 2),
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
      "setp.lt.u32 %more, %thread, 128;\n@!%more bra $copied;\n$copy:\ncvt.u64.u32 %row, "
      "%at;\nadd.s64 %row, %in, %row;\n"
      "ld.global.v4.b32 {{%w0, %w1, %w2, %w3}}, [%row];\nadd.u32 %r0, %base, %at;\n"
      "st.shared.v4.b32 [%r0], {{%w0, %w1, %w2, %w3}};\nadd.u32 %at, %at, 2048;\n"
      "setp.lt.u32 %more, %at, {};\n@%more bra $copy;\n$copied:\n",
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
  if (!c.a_in_registers) c.a.Write(data.a, c.half, image);
  c.b.Write(data.b, c.half, image);
  image.resize((image.size() + 2047) / 2048 * 2048);
  std::vector<std::uint32_t> words(image.size() / 4);
  std::memcpy(words.data(), image.data(), image.size());
  for (std::size_t thread = 0; thread < threads; ++thread) {
    for (std::size_t i = 0; i < 8; i += 2) {
      const auto at = [&](std::size_t j) {
        const Spot spot = OfA(thread, j);
        return std::uint32_t{Element(data.a[spot.row % kM][spot.column], c.half)};
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

TEST_P(WgmmaTest, TakesHalves) {
  EXPECT_EQ(Difference({.b = {k128, true, 64, 16384}, .half = true}), "");
  EXPECT_EQ(Difference({.b = {k128, false, 64}, .a_in_registers = true, .half = true}), "");
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

// --- what is around a product ---

// A K-major, B N-major, 64 columns: one product of 16 along k.
const Case kUsual = {.b = {k128, true, 64, 16384}};
const Case kFromRegisters = {.b = {k128, true, 64}, .a_in_registers = true};
const std::string kReady = kProxyFence + kBarrier;

std::string FaultIn(const std::string& middle, const Case& c = kUsual,
                    std::uint32_t threads = kThreads) {
  return FaultOf([&] { RunCase(c, middle, threads); });
}
std::string Usual() { return Instruction(kUsual, 0); }
std::string Replaced(std::string text, const std::string& what, const std::string& by) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), by);
}
// For the threads that `condition` (a setp without its predicate) chooses.
std::string If(const std::string& condition, const std::string& body) {
  return "{\nsetp." + condition + ";\n@!%p0 bra $past;\n" + body + "$past:\n}\n";
}
const std::string kWarp3 = "ge.u32 %p0, %thread, 96";
// In row 4 of A, whose first 16-byte unit the swizzle puts fifth.
const std::string kOverwrite = "st.shared.b32 [smem+576], 0;\n";

using WgmmaFaultTest = WgmmaTest;
INSTANTIATE_TEST_SUITE_P(Moments, WgmmaFaultTest,
                         ::testing::Values(Async::kEarliest, Async::kLatest, Async::kBoth));

TEST_P(WgmmaFaultTest, NothingWhereAllIsDone) {
  EXPECT_THAT(FaultIn(kReady + kFence + Usual() + kCommit + kWait), IsEmpty());
  EXPECT_THAT(
      FaultIn(kReady + kFence + Instruction(kFromRegisters, 0) + kCommit + kWait, kFromRegisters),
      IsEmpty());
  EXPECT_THAT(FaultIn("fence.proxy.async;\n" + kBarrier + kFence + Usual() + kCommit + kWait),
              IsEmpty());
  EXPECT_THAT(
      FaultIn(kReady + kFence + Usual() + kCommit + kWait + kBarrier + If(kWarp3, kOverwrite)),
      IsEmpty());
}

TEST_P(WgmmaFaultTest, AWriteWithoutAProxyFence) {
  const std::string rest = kFence + Usual() + kCommit + kWait;
  const auto unseen = HasSubstr("without a fence.proxy.async");
  EXPECT_THAT(FaultIn(kBarrier + rest), unseen);
  EXPECT_THAT(FaultIn(kBarrier + kProxyFence + rest), unseen);  // by the reader
  EXPECT_THAT(FaultIn(kReady + If(kWarp3, kOverwrite) + kBarrier + rest), unseen);
  EXPECT_THAT(FaultIn(If(kWarp3, kProxyFence) + kBarrier + rest), unseen);
  EXPECT_THAT(FaultIn(kReady + If(kWarp3, kOverwrite + kProxyFence) + kBarrier + rest), IsEmpty());
}

// The writers' fence counts from the next barrier on, though it may have been executed before.
TEST_P(WgmmaFaultTest, AProxyFenceThatNothingOrders) {
  const std::string fence = If("lt.u32 %p0, %thread, 128", kProxyFence);
  const std::string product = If("ge.u32 %p0, %thread, 128", kFence + Usual() + kCommit + kWait);
  const std::string unordered = kBarrier + fence + product;
  const std::string ordered = kBarrier + fence + kBarrier + product;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SetOptions({.async = GetParam(), .seed = seed});
    EXPECT_THAT(FaultIn(unordered, kUsual, 256), HasSubstr("without a fence.proxy.async"));
    EXPECT_THAT(FaultIn(ordered, kUsual, 256), IsEmpty());
  }
}

TEST_P(WgmmaFaultTest, ACopyWithoutAProxyFenceAfterItsWait) {
  const std::string copy =
      "and.b64 %row, %in, -16;\ncp.async.cg.shared.global [smem+576], [%row], 16;\n"
      "cp.async.commit_group;\n";
  const std::string landed = "cp.async.wait_group 0;\n";
  const std::string one = "eq.u32 %p0, %thread, 5";
  const std::string copied = If(one, copy + landed);
  const std::string fenced = If(one, copy + landed + kProxyFence);
  const std::string fenced_early = If(one, copy + kProxyFence + landed);
  const std::string rest = kBarrier + kFence + Usual() + kCommit + kWait;
  EXPECT_THAT(FaultIn(kReady + copied + rest), HasSubstr("without a fence.proxy.async"));
  EXPECT_THAT(FaultIn(kReady + fenced_early + rest), HasSubstr("without a fence.proxy.async"));
  EXPECT_THAT(FaultIn(kReady + fenced + rest), IsEmpty());
}

TEST_P(WgmmaFaultTest, RegistersWithoutAFence) {
  const std::string rest = Usual() + kCommit + kWait;
  EXPECT_THAT(FaultIn(kReady + rest), HasSubstr("no wgmma.fence before the first product"));
  EXPECT_THAT(FaultIn(kReady + kFence + "mov.b32 %acc7, 0;\n" + rest),
              HasSubstr("no wgmma.fence since %acc7 was written"));
  EXPECT_THAT(FaultIn(kReady + kFence + "mov.b32 %r0, %acc7;\n" + rest),
              HasSubstr("no wgmma.fence since %acc7 was read"));
  // Products of one shape follow each other without it, but not with a look at what lies between.
  EXPECT_THAT(FaultIn(kReady + kFence + rest + rest), IsEmpty());
  EXPECT_THAT(FaultIn(kReady + kFence + rest + "mov.b32 %r0, %acc7;\n" + rest),
              HasSubstr("no wgmma.fence since %acc7 was read"));
  const std::string product = Instruction(kFromRegisters, 0) + kCommit + kWait;
  EXPECT_THAT(FaultIn(kReady + kFence + "mov.b32 %a0_2, 0;\n" + product, kFromRegisters),
              HasSubstr("no wgmma.fence since %a0_2 was written"));
  EXPECT_THAT(FaultIn(kReady + kFence + "mov.b32 %r0, %a0_2;\n" + product, kFromRegisters),
              IsEmpty());
}

TEST_P(WgmmaFaultTest, RegistersBeforeTheProductIsOver) {
  const std::string issued = kReady + kFence + Usual();
  const auto early = HasSubstr("reads %acc0, which the unfinished product of line");
  EXPECT_THAT(FaultIn(issued), early);
  EXPECT_THAT(FaultIn(issued + kCommit), early);
  EXPECT_THAT(FaultIn(issued + kWait), early);  // which knows nothing of what was not committed
  const std::string all_but_one = "wgmma.wait_group.sync.aligned 1;\n";
  EXPECT_THAT(FaultIn(issued + kCommit + all_but_one), early);
  EXPECT_THAT(FaultIn(issued + kCommit + kCommit + all_but_one), IsEmpty());  // an empty group
  EXPECT_THAT(FaultIn(issued + kCommit + Usual() + kCommit + all_but_one), early);
  EXPECT_THAT(FaultIn(issued + "mov.b32 %acc3, 0;\n" + kCommit + kWait),
              HasSubstr("writes %acc3, which the unfinished product of line"));
}

TEST_P(WgmmaFaultTest, FragmentsBeforeTheProductIsOver) {
  const std::string issued = kReady + kFence + Instruction(kFromRegisters, 0) + kCommit;
  EXPECT_THAT(FaultIn(issued + "mov.b32 %a0_1, 0;\n" + kWait, kFromRegisters),
              HasSubstr("writes %a0_1, which the unfinished product of line"));
  EXPECT_THAT(FaultIn(issued + "mov.b32 %r0, %a0_1;\n" + kWait, kFromRegisters),
              HasSubstr("reads %a0_1, which the unfinished product of line"));
  EXPECT_THAT(FaultIn(issued + kWait + "mov.b32 %a0_1, 0;\n", kFromRegisters), IsEmpty());
}

TEST_P(WgmmaFaultTest, ProductsInEachOthersRegisters) {
  const std::string issued = kReady + kFence + Instruction(kFromRegisters, 0);
  const auto narrow = [](const std::string& d, const std::string& a) {
    return "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {" + d + "}, {" + a +
           "}, %d1, 1, 1, 1, 1;\n" + kCommit + kWait;
  };
  const std::string a = List("%a0_", 4);
  EXPECT_THAT(FaultIn(issued + narrow(List("%acc", 4), a), kFromRegisters),
              HasSubstr("accumulates into %acc0, which the unfinished product of line"));  // n 64
  EXPECT_THAT(FaultIn(issued + narrow("%acc30, %acc31, " + List("%r", 2), a), kFromRegisters),
              HasSubstr("accumulates into %acc30, which the unfinished product of line"));
  EXPECT_THAT(FaultIn(issued + narrow(a, List("%w", 4)), kFromRegisters),
              HasSubstr("accumulates into %a0_0, which the unfinished product of line"));
  EXPECT_THAT(FaultIn(issued + narrow(List("%w", 4), List("%acc", 4)), kFromRegisters),
              HasSubstr("multiplies %acc0, which the unfinished product of line"));
  EXPECT_THAT(FaultIn(issued + narrow(List("%w", 4), a), kFromRegisters), IsEmpty());
  // Once more in another order.
  EXPECT_THAT(
      FaultIn(issued + Replaced(Instruction(kFromRegisters, 0), "%acc0, %acc1", "%acc1, %acc0"),
              kFromRegisters),
      HasSubstr("accumulates into %acc1, which the unfinished product of line"));
}

TEST_P(WgmmaFaultTest, GroupsEndInTheirOrder) {
  const std::string other = Replaced(Replaced(Instruction(kFromRegisters, 0), "n64k", "n8k"),
                                     List("%acc", 32), List("%w", 4));
  const std::string two = kReady + kFence + Instruction(kFromRegisters, 0) + kCommit + other +
                          kCommit + "wgmma.wait_group.sync.aligned 1;\n";
  EXPECT_THAT(FaultIn(two + "mov.b32 %r0, %acc0;\n" + kWait, kFromRegisters), IsEmpty());
  EXPECT_THAT(FaultIn(two + "mov.b32 %r0, %w0;\n" + kWait, kFromRegisters),
              HasSubstr("reads %w0, which the unfinished product of line"));
  EXPECT_THAT(FaultIn(two, kFromRegisters), HasSubstr("exits before the product of line"));
}

TEST_P(WgmmaFaultTest, UnwrittenRegisters) {
  const std::string rest = kCommit + kWait;
  EXPECT_THAT(FaultIn(kReady + kFence + Replaced(Usual(), "%acc0,", "%r40,") + rest),
              HasSubstr("%r40 was never written"));
  EXPECT_THAT(
      FaultIn(kReady + kFence + Replaced(Instruction(kFromRegisters, 0), "%a0_3", "%r40") + rest,
              kFromRegisters),
      HasSubstr("%r40 was never written"));
  Case afresh = kUsual;
  afresh.scale_d = "0";
  EXPECT_THAT(FaultIn(kReady + kFence + Replaced(Instruction(afresh, 0), "%acc0,", "%r40,") + rest),
              IsEmpty());
}

TEST_P(WgmmaFaultTest, PartsOfWarpgroups) {
  const std::string rest = kFence + Usual() + kCommit + kWait;
  EXPECT_THAT(FaultIn(kReady + rest, kUsual, 96), HasSubstr("a warpgroup is 4 warps"));
  EXPECT_THAT(FaultIn(kReady + rest, kUsual, 112), HasSubstr("only threads 0xffff of the warp"));
  EXPECT_THAT(FaultIn(kReady + rest, kUsual, 160), HasSubstr("a warpgroup is 4 warps"));
  EXPECT_THAT(FaultIn(kReady + rest, kUsual, 256), IsEmpty());
  EXPECT_THAT(FaultIn(kReady + If("ne.u32 %p0, %thread, 70", rest)),
              HasSubstr("only threads 0xffffffbf of the warp"));
}

TEST_P(WgmmaFaultTest, WarpsThatDoNotAgree) {
  const std::string done = kCommit + kWait;
  EXPECT_THAT(FaultIn(kReady + kFence + If(kWarp3, Usual()) + Usual() + done),
              HasSubstr("another warp of its warpgroup executes line"));
  EXPECT_THAT(FaultIn(kReady + kFence + Usual() + done + If(kWarp3, kFence)),
              HasSubstr("another warp of its warpgroup executes line"));
  const std::string steered =
      Replaced(Usual(), "wgmma", If(kWarp3, "add.u64 %d0, %d0, 2;\n") + "wgmma");
  EXPECT_THAT(FaultIn(kReady + kFence + steered + done),
              HasSubstr("gives another descriptor or scale-d"));
  const std::string spread =
      Replaced(Usual(), "wgmma", If("eq.u32 %p0, %thread, 7", "add.u64 %d0, %d0, 2;\n") + "wgmma");
  EXPECT_THAT(FaultIn(kReady + kFence + spread + done), HasSubstr("descriptors differ"));
  Case mixed = kUsual;
  mixed.scale_d = "%p1";
  EXPECT_THAT(
      FaultIn(kReady + kFence + "setp.eq.u32 %p1, %thread, 7;\n" + Instruction(mixed, 0) + done),
      HasSubstr("scale-d differ"));
}

TEST_P(WgmmaFaultTest, DescriptorsOfNothing) {
  const auto with = [](std::uint64_t bits, const Case& c = kUsual) {
    return FaultIn(kReady + kFence +
                       Replaced(Instruction(c, 0), "wgmma",
                                fmt::format("xor.b64 %d1, %d1, {};\nwgmma", bits)) +
                       kCommit + kWait,
                   c);
  };
  EXPECT_THAT(with(0), IsEmpty());
  EXPECT_THAT(with(0x2000), HasSubstr("of shared memory"));      // beyond its end
  EXPECT_THAT(with(1ULL << 44), HasSubstr("of shared memory"));  // from a stride on
  EXPECT_THAT(with(8), HasSubstr("not in the first row of the pattern"));
  for (const int bit : {14, 15, 30, 31, 46, 47, 48, 52, 61}) {
    EXPECT_THAT(with(1ULL << bit), HasSubstr("bits that have no meaning"));
  }
  EXPECT_THAT(with(1ULL << 49), HasSubstr("base offset"));
  EXPECT_THAT(FaultOf([] {
                Registered<std::uint32_t> in(std::vector<std::uint32_t>(kThreads * 48));
                Registered<float> out(kThreads * 32);
                RunText(Text(kUsual, 0, kReady + kFence + Usual() + kCommit + kWait), in.data(),
                        out.data(), kThreads, 1, 65536);
              }),
              HasSubstr("not all of them written"));
}

// The buffer of a product is free after the wait for it and a barrier of all four warps; a barrier
// before the wait is none. In whatever order warps run.
TEST_P(WgmmaFaultTest, WritesToWhatAProductReads) {
  const std::string write = If(kWarp3, kOverwrite);
  const std::string issued = kReady + kFence + Usual() + kCommit;
  const std::string right = issued + kWait + kBarrier + write;
  const std::vector<std::string> wrong = {
      issued + write + kWait,
      issued + kWait + write,
      issued + kBarrier + write + kWait,
      issued + kBarrier + kWait + write,
      issued + kBarrier + write + kBarrier + kWait,
      kReady + write + kProxyFence + kFence + Usual() + kCommit + kWait,
  };
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SetOptions({.async = GetParam(), .seed = seed});
    EXPECT_THAT(FaultIn(right), IsEmpty());
    for (const std::string& middle : wrong) {
      EXPECT_THAT(FaultIn(middle), ContainsRegex("race|an unfinished product reads")) << middle;
    }
  }
}

TEST_P(WgmmaFaultTest, ACopyIntoWhatAProductReads) {
  const std::string copy =
      If("eq.u32 %p0, %thread, 5",
         "and.b64 %row, %in, -16;\ncp.async.cg.shared.global [smem+576], [%row], 16;\n");
  const std::string issued = kReady + kFence + Usual() + kCommit;
  const auto caught = ContainsRegex("race|an unfinished product reads");
  EXPECT_THAT(FaultIn(issued + copy + kWait), caught);
  EXPECT_THAT(FaultIn(issued + kWait + kBarrier + copy), IsEmpty());
}

// Wherever the module's other variables end, a descriptor's pattern begins at a multiple of 1024.
TEST(WgmmaMemoryTest, DynamicSharedMemoryKeepsItsAlignment) {
  Registered<std::uint32_t> in(1);
  Registered<std::uint32_t> out(1);
  RunText(KernelText("sequela_text",
                     ".shared .align 4 .b8 small[12];\nmov.u32 %r0, smem;\n"
                     "st.shared.b32 [small+8], %r0;\nst.global.b32 [%out], %r0;",
                     ".extern .shared .align 1024 .b8 smem[];"),
          in.data(), out.data(), 1, 1, 2048);
  EXPECT_EQ(out[0], 1024U);
}

TEST(WgmmaSyntaxTest, RefusesWhatItDoesNotKnow) {
  const auto refused = [](const std::string& instruction) {
    return FaultIn(kReady + kFence + instruction + kCommit + kWait, kFromRegisters);
  };
  const std::string text = Instruction(kFromRegisters, 0);
  EXPECT_THAT(refused(Replaced(text, "n64k", "n68k")), HasSubstr("an unknown shape"));
  EXPECT_THAT(refused(Replaced(text, "n64k16", "n64k8")), HasSubstr("an unknown shape"));
  EXPECT_THAT(refused(Replaced(text, ".f32.bf16.bf16", ".f32.tf32.tf32")),
              HasSubstr("unknown types"));
  EXPECT_THAT(refused(Replaced(text, ".f32.bf16.bf16", ".f16.f16.f16")),
              HasSubstr("unknown types"));
  EXPECT_THAT(refused(Replaced(text, "n64k", "n72k")), HasSubstr("number of registers"));
  EXPECT_THAT(refused(Replaced(text, "%acc1,", "%acc0,")), HasSubstr("stands twice"));
  EXPECT_THAT(refused(Replaced(text, "%a0_1", "%acc5")), HasSubstr("stands twice"));
  EXPECT_THAT(refused(Replaced(text, "1, 1, 1, 1;", "1, 2, 1, 1;")), HasSubstr("1 or -1"));
  EXPECT_THAT(refused(Replaced(text, "1, 1, 1, 1;", "1, 1, 1, 2;")), HasSubstr("0 or 1"));
  EXPECT_THAT(refused(Replaced(text, "1, 1, 1, 1;", "1, 1, 1, 1, 0;")),
              HasSubstr("number of operands"));
  EXPECT_THAT(refused(Replaced(text, "1, 1, 1, 1;", "1, 1, 1;")), HasSubstr("operand is missing"));
  EXPECT_THAT(refused(Replaced(text, "mma_async", "mma_async.sp")), HasSubstr(".sp"));
  EXPECT_THAT(FaultIn("fence.proxy.alias;\n"), HasSubstr("only .proxy.async is known"));
}

}  // namespace
}  // namespace sequela::ptx
