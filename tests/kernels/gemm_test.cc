// ctest: cost=30 labels=sanitize;threads timeout=180 cuda
#include "kernels/gemm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/base/errors.h"
#include "kernels/cpu/gemm_packed.h"
#include "kernels/cpu/gemm_tiles.h"
#include "tests/reference/gemm.h"
#include "tests/testing/poison.h"
#include "tests/testing/tolerance.h"

namespace sequela {
namespace {

using reference::Matrix;
using testing::PoisonedMatrix;
using testing::PoisonedWorkspace;
using testing::RandomMatrix;
using testing::Rounded;
using testing::WithinTheRule;

// On the CPU Gemm chooses by machine; each way is tested on every machine that can go it.
enum class Way { kChosen, kPacked, kTiles };

struct Product {
  std::int64_t m, n, k;
  bool transpose_a = false, transpose_b = false, accumulate = false;
  DType type = DType::kFloat32, out = DType::kFloat32;

  bool empty() const { return m == 0 || n == 0 || k == 0; }

  friend void PrintTo(const Product& p, std::ostream* os) {
    *os << p.m << "x" << p.n << "x" << p.k << (p.transpose_a ? " A^T" : "")
        << (p.transpose_b ? " B^T" : "") << (p.accumulate ? " +=" : "")
        << (p.type == DType::kBFloat16 ? " bf16" : "")
        << (p.out == DType::kBFloat16 ? " -> bf16" : "");
  }
};

class GemmTest : public ::testing::TestWithParam<std::tuple<Product, Way>> {
 protected:
  static constexpr testing::Layout kOdd = {.gap = 3, .offset = 1};

  GemmTest()
      : a_(p_.type, RandomMatrix(p_.transpose_a ? p_.k : p_.m, p_.transpose_a ? p_.m : p_.k, 1),
           kOdd),
        b_(p_.type, RandomMatrix(p_.transpose_b ? p_.n : p_.k, p_.transpose_b ? p_.k : p_.n, 2),
           kOdd) {}

  void SetUp() override {
    if (way_ != Way::kChosen && testing::OnCuda()) GTEST_SKIP() << "a way of the CPU's";
    if (way_ != Way::kChosen && p_.empty()) GTEST_SKIP() << "Gemm itself answers";
    if (way_ == Way::kTiles && p_.type == DType::kBFloat16 && !GemmHasNativeBf16({})) {
      GTEST_SKIP() << "needs bf16 instructions";
    }
  }

  // C before the product: numbers where it adds, else poison.
  PoisonedMatrix Target() {
    return p_.accumulate ? PoisonedMatrix(p_.out, RandomMatrix(p_.m, p_.n, 3, 10.0), kOdd)
                         : PoisonedMatrix(p_.out, p_.m, p_.n, kOdd);
  }
  PoisonedMatrix Run(int threads) {
    PoisonedMatrix c = Target();
    Exec exec = testing::TestExec(threads);
    const GemmArgs args{.a = a_.view(),
                        .b = b_.view(),
                        .c = c.view(),
                        .transpose_a = p_.transpose_a,
                        .transpose_b = p_.transpose_b,
                        .accumulate = p_.accumulate};
    const auto [multiply, workspace_bytes] = Functions();
    PoisonedWorkspace workspace(workspace_bytes(exec, args));
    exec.workspace = workspace.span();
    multiply(exec, args);
    testing::Synchronize();
    return c;
  }
  std::pair<decltype(&Gemm), decltype(&GemmWorkspaceBytes)> Functions() const {
    if (way_ == Way::kPacked) return {&cpu::GemmPacked, &cpu::GemmPackedWorkspaceBytes};
    if (way_ == Way::kTiles) return {&cpu::GemmTiles, &cpu::GemmTilesWorkspaceBytes};
    return {&Gemm, &GemmWorkspaceBytes};
  }
  template <typename Real>
  Matrix<Real> Textbook() {
    const auto a = a_.values().As<Real>(), b = b_.values().As<Real>();
    const auto start = p_.accumulate ? Target().values().As<Real>() : Matrix<Real>(p_.m, p_.n);
    return reference::AddProduct(start, p_.transpose_a ? reference::Transposed(a) : a,
                                 p_.transpose_b ? reference::Transposed(b) : b);
  }

  Product p_ = std::get<0>(GetParam());
  Way way_ = std::get<1>(GetParam());
  PoisonedMatrix a_, b_;
};

TEST_P(GemmTest, ErrorsAreWithinTheRule) {
  PoisonedMatrix c = Run(2);
  EXPECT_TRUE(WithinTheRule(c.values(), Rounded(Textbook<float>(), p_.out), Textbook<double>()));
  EXPECT_TRUE(c.PoisonIntact());
}

TEST_P(GemmTest, ThreadsAndRepeatsChangeNoBit) {
  PoisonedMatrix one = Run(1);
  for (const int threads : {1, 2, 3}) {
    EXPECT_EQ(Run(threads).bytes(), one.bytes()) << threads << " threads";
  }
}

constexpr DType kBf16 = DType::kBFloat16;
constexpr DType kFp32 = DType::kFloat32;

INSTANTIATE_TEST_SUITE_P(
    Shapes, GemmTest,
    ::testing::Combine(
        ::testing::Values(Product{1, 1, 1}, Product{5, 3, 0}, Product{0, 8, 8},
                          Product{63, 65, 17, false, true}, Product{64, 96, 32, false, true},
                          Product{65, 96, 32, false, true}, Product{300, 123, 40, false, true},
                          Product{700, 130, 64}, Product{130, 60, 50, false, true, true},
                          Product{64, 64, 4096, true, false, true},
                          Product{96, 200, 1100, true, false, true},
                          Product{40, 30, 63, true, false, false},
                          Product{0, 30, 63, true, false, true},
                          Product{20, 30, 0, true, false, true}, Product{70, 1500, 24, false, true},
                          Product{300, 123, 40, false, true, false, kBf16, kFp32},
                          Product{300, 123, 40, false, true, false, kBf16, kBf16},
                          Product{131, 70, 1100, false, false, false, kBf16, kBf16},
                          Product{64, 64, 4096, true, false, true, kBf16, kFp32},
                          Product{96, 200, 1101, true, false, true, kBf16, kFp32},
                          // More than one piece, block and part of K of the packed way.
                          Product{970, 40, 260, false, true}, Product{50, 530, 270},
                          Product{250, 520, 520, true, false, true},
                          Product{500, 70, 600, false, true, false, kBf16, kBf16}),
        ::testing::Values(Way::kChosen, Way::kPacked, Way::kTiles)));

// Packed, a number is one chain of sums over K: neither the rest of the shape nor the piece that it
// lies in matters.
TEST(GemmPackedTest, MoreRowsAndColumnsChangeNoBit) {
  if (testing::OnCuda()) GTEST_SKIP() << "a way of the CPU's";
  const Matrix<double> x = RandomMatrix(700, 300, 1), w = RandomMatrix(600, 300, 2);
  PoisonedMatrix a(DType::kFloat32, x), b(DType::kFloat32, w);
  const auto product = [&](std::int64_t m, std::int64_t n) {
    PoisonedMatrix c(DType::kFloat32, m, n);
    Exec exec{.num_threads = 2};
    const GemmArgs args{.a = a.view().RowRange(0, m),
                        .b = b.view().RowRange(0, n),
                        .c = c.view(),
                        .transpose_b = true};
    PoisonedWorkspace workspace(cpu::GemmPackedWorkspaceBytes(exec, args));
    exec.workspace = workspace.span();
    cpu::GemmPacked(exec, args);
    return c.values();
  };
  const auto all = product(700, 600), some = product(5, 37);
  for (std::int64_t r = 0; r < 5; ++r) {
    for (std::int64_t j = 0; j < 37; ++j) EXPECT_EQ(some(r, j), all(r, j)) << r << ", " << j;
  }
}

// A stream of tokens multiplies row by row: a NaN in one row stays there.
TEST(GemmRowsTest, ARowDoesNotDependOnAnother) {
  const auto run = [](double poison) {
    Matrix<double> x = RandomMatrix(150, 48, 1);
    for (std::int64_t c = 0; c < 48; ++c) x(140, c) = poison;
    PoisonedMatrix a(DType::kFloat32, x), b(DType::kFloat32, RandomMatrix(33, 48, 2)),
        c(DType::kFloat32, 150, 33);
    Exec exec = testing::TestExec(2);
    const GemmArgs args{.a = a.view(), .b = b.view(), .c = c.view(), .transpose_b = true};
    PoisonedWorkspace workspace(GemmWorkspaceBytes(exec, args));
    exec.workspace = workspace.span();
    PrepareGemm(exec, args);
    Gemm(exec, args);
    testing::Synchronize();
    std::vector<double> others;
    for (std::int64_t r = 0; r < 150; ++r) {
      for (std::int64_t n = 0; n < 33 && r != 140; ++n) others.push_back(c.values()(r, n));
    }
    return others;
  };
  EXPECT_EQ(run(std::nan("")), run(1.0));
}

// Small integers, so that every sum is exact: of a result that no cache holds, for which a GPU's
// algorithm is chosen by another rule where it is added to.
TEST(GemmLargeResultTest, IsAddedToExactly) {
  constexpr std::int64_t kRows = 33000, kColumns = 512, kDepth = 40;
  const auto in_a = [](std::int64_t k, std::int64_t m) { return (7 * k + m) % 5 - 2; };
  const auto in_b = [](std::int64_t k, std::int64_t n) { return (3 * k + 2 * n) % 7 - 3; };
  const auto matrix = [](std::int64_t columns, const auto& number) {
    Matrix<double> values(kDepth, columns);
    for (std::int64_t k = 0; k < kDepth; ++k) {
      for (std::int64_t i = 0; i < columns; ++i) values(k, i) = static_cast<double>(number(k, i));
    }
    return PoisonedMatrix(kBf16, values);
  };
  PoisonedMatrix a = matrix(kRows, in_a), b = matrix(kColumns, in_b), c(kFp32, kRows, kColumns);
  std::int64_t expected[5][7] = {};  // the factors repeat
  for (std::int64_t k = 0; k < kDepth; ++k) {
    for (std::int64_t m = 0; m < 5; ++m) {
      for (std::int64_t n = 0; n < 7; ++n) expected[m][n] += in_a(k, m) * in_b(k, n);
    }
  }
  Exec exec = testing::TestExec();
  GemmArgs args{.a = a.view(), .b = b.view(), .c = c.view(), .transpose_a = true};
  PoisonedWorkspace workspace(GemmWorkspaceBytes(exec, args));
  exec.workspace = workspace.span();
  for (const bool accumulate : {false, true}) {
    args.accumulate = accumulate;
    Gemm(exec, args);
    testing::Synchronize();
    const std::span<const float> sums = c.floats();
    std::int64_t wrong = 0;
    for (std::int64_t m = 0; m < kRows; ++m) {
      for (std::int64_t n = 0; n < kColumns; ++n) {
        const std::int64_t once = expected[m % 5][n % 7];
        const auto sum = sums[static_cast<std::size_t>(m * kColumns + n)];
        wrong += sum != static_cast<float>(accumulate ? 2 * once : once);
      }
    }
    EXPECT_EQ(wrong, 0) << (accumulate ? "added" : "written");
  }
}

// The workspace is planned once, with the largest batch, be it a multiple of the tiles' rows or
// not.
class GemmWorkspaceTest : public ::testing::Test {
 protected:
  static std::int64_t OfForward(std::int64_t tokens, std::int64_t outputs, DType type, DType out) {
    const ConstTensorView x(nullptr, type, tokens, 96), w(nullptr, type, outputs, 96);
    return GemmWorkspaceBytes(
        testing::TestExec(3),
        {.a = x, .b = w, .c = TensorView(nullptr, out, tokens, outputs), .transpose_b = true});
  }
  static std::int64_t OfWeightGradient(std::int64_t tokens, std::int64_t outputs, DType type) {
    const ConstTensorView x(nullptr, type, tokens, 96), dy(nullptr, type, tokens, outputs);
    return GemmWorkspaceBytes(testing::TestExec(3), {.a = dy,
                                                     .b = x,
                                                     .c = TensorView(nullptr, kFp32, outputs, 96),
                                                     .transpose_a = true,
                                                     .accumulate = true});
  }
  template <typename BytesOf>
  static void ExpectTheLargestSuffices(const BytesOf& bytes_of) {
    for (const std::int64_t most : {1024, 1100}) {
      const std::int64_t largest = bytes_of(most);
      for (const std::int64_t tokens : {1, 17, 63, 64, 65, 511, 512, 513, 1023}) {
        EXPECT_LE(bytes_of(tokens), largest) << tokens << " of " << most << " tokens";
      }
    }
  }
};

TEST_F(GemmWorkspaceTest, OfTheLargestBatchSufficesForForward) {
  for (const std::int64_t outputs : {200, 600}) {  // one tile, or more
    ExpectTheLargestSuffices(
        [&](std::int64_t tokens) { return OfForward(tokens, outputs, kFp32, kFp32); });
    ExpectTheLargestSuffices(
        [&](std::int64_t tokens) { return OfForward(tokens, outputs, kBf16, kFp32); });
    ExpectTheLargestSuffices(
        [&](std::int64_t tokens) { return OfForward(tokens, outputs, kBf16, kBf16); });
  }
}

TEST_F(GemmWorkspaceTest, OfTheLargestBatchSufficesForWeightGradients) {
  for (const DType type : {kFp32, kBf16}) {
    ExpectTheLargestSuffices(
        [&](std::int64_t tokens) { return OfWeightGradient(tokens, 200, type); });
  }
}

class GemmContractTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kSize = 4;

  // `change` breaks the contract of a product that is otherwise in order.
  template <typename Change>
  void ExpectOurMistake(const Change& change) {
    PoisonedMatrix a(kBf16, RandomMatrix(kSize, kSize, 1)), b(kBf16, RandomMatrix(kSize, kSize, 2)),
        c(kFp32, kSize, kSize);
    GemmArgs args{.a = a.view(), .b = b.view(), .c = c.view()};
    Exec exec = testing::TestExec();
    PoisonedWorkspace workspace(GemmWorkspaceBytes(exec, args));
    exec.workspace = workspace.span();
    change(exec, args);
    EXPECT_THROW(Gemm(exec, args), InternalError);
  }
};

TEST_F(GemmContractTest, DisagreeingShapesAreOurMistake) {
  ExpectOurMistake([](Exec&, GemmArgs& args) { args.b = args.b.RowRange(0, kSize - 1); });
  ExpectOurMistake([](Exec&, GemmArgs& args) { args.c = args.c.ColumnRange(0, kSize - 1); });
}

TEST_F(GemmContractTest, DisagreeingTypesAreOurMistake) {
  ExpectOurMistake([](Exec&, GemmArgs& args) { args.b.dtype = kFp32; });
  ExpectOurMistake([](Exec&, GemmArgs& args) {
    args.c.dtype = kBf16;
    args.accumulate = true;
  });
  ExpectOurMistake([](Exec&, GemmArgs& args) {
    args.c.dtype = kBf16;
    args.transpose_a = true;
  });
}

TEST_F(GemmContractTest, TwoTranspositionsAreOurMistake) {
  ExpectOurMistake([](Exec&, GemmArgs& args) { args.transpose_a = args.transpose_b = true; });
}

TEST_F(GemmContractTest, TooSmallAWorkspaceIsOurMistake) {
  ExpectOurMistake([](Exec& exec, GemmArgs&) { exec.workspace = exec.workspace.first(63); });
}

#if defined(SEQUELA_WITH_CUDA)
TEST(GemmWithoutDriverTest, IsTheMachinesFault) {
  if (testing::OnCuda() || std::filesystem::exists("/dev/nvidiactl")) {
    GTEST_SKIP() << "there is a driver, or what stands for one";
  }
  PoisonedMatrix a(kBf16, 4, 5), b(kBf16, 5, 3), c(kFp32, 4, 3);
  const GemmArgs args{.a = a.view(), .b = b.view(), .c = c.view()};
  Exec exec{.backend = Backend::kCuda};
  PoisonedWorkspace workspace(GemmWorkspaceBytes(exec, args));
  exec.workspace = workspace.span();
  EXPECT_THROW(PrepareGemm(exec, args), MachineError);
  try {
    Gemm(exec, args);
    ADD_FAILURE() << "multiplied without a driver";
  } catch (const MachineError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("[4, 3] = A [4, 5] B [5, 3], bf16 to fp32"));
  }
}
#endif

}  // namespace
}  // namespace sequela
