// ctest: labels=sanitize;threads cuda
#include "kernels/bias.h"

#include <gtest/gtest.h>

#include <tuple>

#include "tests/testing/poison.h"
#include "tests/testing/tolerance.h"

namespace sequela {
namespace {

using reference::Matrix;
using reference::VectorAs;
using testing::Layout;
using testing::PoisonedMatrix;
using testing::RandomMatrix;
using testing::Rounded;
using testing::Shared;
using testing::SharedVector;
using testing::Synchronize;
using testing::TestExec;
using testing::WithinTheRule;

struct Shape {
  std::int64_t rows;
  std::int64_t columns;
  Layout layout;
};

class BiasTest : public ::testing::TestWithParam<std::tuple<Shape, DType>> {
 protected:
  PoisonedMatrix Backward(int threads) {
    PoisonedMatrix d_bias(DType::kFloat32, before_, {0, 1});
    testing::PoisonedWorkspace workspace(BiasBackwardWorkspaceBytes(shape_.rows, shape_.columns));
    BiasBackward(TestExec(threads, workspace.span()),
                 {.d_x_TD = x_.view(), .d_bias = d_bias.floats()});
    Synchronize();
    return d_bias;
  }
  template <typename Real>
  Matrix<Real> ReferenceBackward() {
    Matrix<Real> sum(1, shape_.columns);
    const Matrix<double> d_x = x_.values();
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (std::int64_t c = 0; c < shape_.columns; ++c) sum(0, c) += static_cast<Real>(d_x(r, c));
    }
    for (std::int64_t c = 0; c < shape_.columns; ++c) sum(0, c) += static_cast<Real>(before_(0, c));
    return sum;
  }

  Shape shape_ = std::get<0>(GetParam());
  DType type_ = std::get<1>(GetParam());
  PoisonedMatrix x_{type_, RandomMatrix(shape_.rows, shape_.columns, 1), shape_.layout};
  Matrix<double> before_ =
      PoisonedMatrix(DType::kFloat32, RandomMatrix(1, shape_.columns, 2)).values();
};

TEST_P(BiasTest, ForwardAddsTheBiasToEveryRow) {
  const SharedVector<float> bias = Shared(VectorAs<float>(before_.values));
  Matrix<float> expected = x_.values().As<float>();
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    expected.values[i] += bias[i % bias.size()];
  }
  BiasForward(TestExec(3), {.x_TD = x_.view(), .bias = bias});
  Synchronize();
  EXPECT_EQ(x_.values().values, Rounded(expected, type_).values);
  EXPECT_TRUE(x_.PoisonIntact());
}

TEST_P(BiasTest, BackwardErrorIsWithinTheRule) {
  PoisonedMatrix d_bias = Backward(2);
  EXPECT_TRUE(WithinTheRule(d_bias.values(), ReferenceBackward<float>().As<double>(),
                            ReferenceBackward<double>()));
  EXPECT_TRUE(d_bias.PoisonIntact());
}

TEST_P(BiasTest, WhereTheMemoryLiesChangesNoBit) {
  const Matrix<double> d_bias = Backward(1).values();
  x_ = PoisonedMatrix(type_, x_.values(), {shape_.layout.gap + 1, shape_.layout.offset + 1});
  EXPECT_EQ(Backward(1).values().values, d_bias.values);
}

TEST_P(BiasTest, TheNumberOfThreadsChangesNoBit) {
  const auto bytes = Backward(1).bytes();
  for (const int threads : {2, 3, 7}) EXPECT_EQ(Backward(threads).bytes(), bytes);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, BiasTest,
    ::testing::Combine(::testing::Values(Shape{1, 1, {}}, Shape{0, 5, {}}, Shape{63, 17, {3, 1}},
                                         Shape{65, 300, {1, 3}},
                                         Shape{testing::OnPtx() ? 300 : 1000, 515, {}},
                                         // The edges of a GPU's pieces and column tiles.
                                         Shape{127, 256, {}}, Shape{128, 257, {}},
                                         Shape{129, 255, {1, 0}}, Shape{3, 1025, {7, 0}}),
                       ::testing::Values(DType::kFloat32, DType::kBFloat16)));

}  // namespace
}  // namespace sequela
