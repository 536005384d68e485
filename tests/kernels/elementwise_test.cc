// ctest: labels=sanitize
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
  Exec exec_{.num_threads = 3};
};

TEST_P(ElementwiseTest, CastRoundsOnce) {
  PoisonedMatrix to(other_type_, shape_.rows, shape_.columns, {2, 5});
  Cast(exec_, {.from = a_.view(), .to = to.view()});
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
  EXPECT_EQ(a_.values().values, Rounded(sum, type_).values);
  EXPECT_TRUE(a_.PoisonIntact());
}

TEST_P(ElementwiseTest, ScaleRoundsOnce) {
  Matrix<float> scaled = a_.values().As<float>();
  for (float& value : scaled.values) value *= 0.3F;
  Scale(exec_, {.x = a_.view(), .factor = 0.3F});
  EXPECT_EQ(a_.values().values, Rounded(scaled, type_).values);
  EXPECT_TRUE(a_.PoisonIntact());
}

TEST_P(ElementwiseTest, FillZeroStaysWithinTheRows) {
  FillZero(exec_, {.x = a_.view()});
  EXPECT_EQ(a_.values().values, Matrix<double>(shape_.rows, shape_.columns).values);
  EXPECT_TRUE(a_.PoisonIntact());
}

INSTANTIATE_TEST_SUITE_P(Shapes, ElementwiseTest,
                         ::testing::Combine(::testing::Values(Shape{1, 1, {}}, Shape{0, 4, {}},
                                                              Shape{7, 13, {3, 1}},
                                                              Shape{100, 257, {0, 7}}),
                                            ::testing::Values(DType::kFloat32, DType::kBFloat16),
                                            ::testing::Values(DType::kFloat32, DType::kBFloat16)));

// The vector code against the scalar one, for every upper half and the lower halves that decide.
TEST(CastTest, AgreesWithToBf16OnEveryUpperHalf) {
  std::vector<float> from;
  for (std::uint32_t high = 0; high < 0x10000U; ++high) {
    for (const std::uint32_t low : {0x0000U, 0x0001U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU}) {
      from.push_back(std::bit_cast<float>(high << 16 | low));
    }
  }
  std::vector<bf16> to(from.size());
  std::vector<float> back(from.size());
  const std::int64_t columns = 6 * 256 + 3;  // a tail in every row
  const std::int64_t rows = std::ssize(from) / columns;
  Cast({}, {.from = ConstTensorView(from.data(), rows, columns),
            .to = TensorView(to.data(), rows, columns)});
  Cast({}, {.from = ConstTensorView(to.data(), rows, columns),
            .to = TensorView(back.data(), rows, columns)});
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows * columns); ++i) {
    ASSERT_EQ(to[i].bits, ToBf16(from[i]).bits) << std::bit_cast<std::uint32_t>(from[i]);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(back[i]), std::uint32_t{to[i].bits} << 16);
  }
}

}  // namespace
}  // namespace sequela
