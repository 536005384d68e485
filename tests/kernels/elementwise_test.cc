// ctest: labels=sanitize;threads cuda
#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "tests/testing/poison.h"
#include "tests/testing/tolerance.h"

namespace sequela {
namespace {

using reference::Matrix;
using testing::Layout;
using testing::PoisonedMatrix;
using testing::RandomMatrix;
using testing::Rounded;
using testing::Shared;
using testing::SharedVector;
using testing::Synchronize;
using testing::TestExec;

struct Shape {
  std::int64_t rows;
  std::int64_t columns;
  Layout layout;
};

// Every operation rounds once, so the results are known exactly.
class ElementwiseTest : public ::testing::TestWithParam<std::tuple<Shape, DType, DType>> {
 protected:
  Shape shape_ = std::get<0>(GetParam());
  DType type_ = std::get<1>(GetParam());
  DType other_type_ = std::get<2>(GetParam());
  PoisonedMatrix a_{type_, RandomMatrix(shape_.rows, shape_.columns, 1), shape_.layout};
  PoisonedMatrix b_{other_type_, RandomMatrix(shape_.rows, shape_.columns, 2), {1, 1}};
  Exec exec_ = TestExec(3);
};

TEST_P(ElementwiseTest, CastRoundsOnce) {
  PoisonedMatrix to(other_type_, shape_.rows, shape_.columns, {2, 5});
  Cast(exec_, {.from = a_.view(), .to = to.view()});
  Synchronize();
  EXPECT_EQ(to.values().values, Rounded(a_.values().As<float>(), other_type_).values);
  EXPECT_TRUE(to.PoisonIntact());
}

TEST_P(ElementwiseTest, AddRoundsOnceAndMayShareMemory) {
  Matrix<float> sum = a_.values().As<float>();
  const Matrix<double> b = b_.values();
  for (std::size_t i = 0; i < sum.values.size(); ++i) {
    sum.values[i] += static_cast<float>(b.values[i]);
  }
  Add(exec_, {.a = a_.view(), .b = b_.view(), .out = a_.view()});
  Synchronize();
  EXPECT_EQ(a_.values().values, Rounded(sum, type_).values);
  EXPECT_TRUE(a_.PoisonIntact());
}

TEST_P(ElementwiseTest, FillZeroStaysWithinTheRows) {
  FillZero(exec_, {.x = a_.view()});
  Synchronize();
  EXPECT_EQ(a_.values().values, Matrix<double>(shape_.rows, shape_.columns).values);
  EXPECT_TRUE(a_.PoisonIntact());
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ElementwiseTest,
    ::testing::Combine(::testing::Values(Shape{1, 1, {}}, Shape{0, 4, {}}, Shape{4, 0, {}},
                                         Shape{7, 13, {3, 1}}, Shape{100, 257, {0, 7}},
                                         // Narrow rows; whole and broken packs; the edges of
                                         // the pieces into which a GPU cuts a matrix.
                                         Shape{300, 1, {1, 0}}, Shape{33, 64, {16, 0}},
                                         Shape{5, 1023, {1, 0}}, Shape{5, 1025, {7, 0}},
                                         Shape{2, 1024, {0, 0}}, Shape{1, 2049, {0, 0}},
                                         Shape{3, 2500, {12, 4}}),
                       ::testing::Values(DType::kFloat32, DType::kBFloat16),
                       ::testing::Values(DType::kFloat32, DType::kBFloat16)));

// Of any element type; integers are not poisoned matrices.
TEST(FillZeroTest, ClearsIntegers) {
  const auto expect_cleared = [](auto ones, std::int64_t columns, std::int64_t stride) {
    FillZero(TestExec(), {.x = TensorView(ones.data(), 3, columns, stride)});
    Synchronize();
    for (std::int64_t i = 0; i < std::ssize(ones); ++i) {
      const bool inside = i < 3 * stride && i % stride < columns;
      EXPECT_EQ(ones[static_cast<std::size_t>(i)], inside ? 0 : 1) << i;
    }
  };
  expect_cleared(SharedVector<std::int32_t>(40, 1), 7, 13);
  expect_cleared(SharedVector<std::int64_t>(40, 1), 7, 13);
  expect_cleared(SharedVector<std::int64_t>(40, 1), 4, 4);
}

// The vector code against the scalar one, for every upper half and the lower halves that decide.
TEST(CastTest, AgreesWithToBf16OnEveryUpperHalf) {
  std::vector<float> values;
  for (std::uint32_t high = 0; high < 0x10000U; ++high) {
    for (const std::uint32_t low : {0x0000U, 0x0001U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU}) {
      values.push_back(std::bit_cast<float>(high << 16 | low));
    }
  }
  const SharedVector<float> from = Shared(values);
  SharedVector<bf16> to(from.size());
  SharedVector<float> back(from.size());
  const std::int64_t columns = 6 * 256 + 3;  // a tail in every row
  const std::int64_t rows = std::ssize(from) / columns;
  Cast(TestExec(), {.from = ConstTensorView(from.data(), rows, columns),
                    .to = TensorView(to.data(), rows, columns)});
  Cast(TestExec(), {.from = ConstTensorView(to.data(), rows, columns),
                    .to = TensorView(back.data(), rows, columns)});
  Synchronize();
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows * columns); ++i) {
    ASSERT_EQ(to[i].bits, ToBf16(from[i]).bits) << std::bit_cast<std::uint32_t>(from[i]);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(back[i]), std::uint32_t{to[i].bits} << 16);
  }
}

TEST(CastTest, KeepsANanWhereverItStands) {
  constexpr std::size_t kElements = 40;
  for (std::size_t place = 0; place < kElements; ++place) {
    SharedVector<float> from(kElements, 1.25F);
    from[place] = std::bit_cast<float>(0xffa51234U);
    SharedVector<bf16> to(kElements);
    Cast(TestExec(), {.from = ConstTensorView(from.data(), 1, kElements),
                      .to = TensorView(to.data(), 1, kElements)});
    Synchronize();
    for (std::size_t i = 0; i < kElements; ++i)
      ASSERT_EQ(to[i].bits, ToBf16(from[i]).bits) << place;
  }
}

}  // namespace
}  // namespace sequela
