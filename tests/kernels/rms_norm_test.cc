// ctest: labels=sanitize;threads cuda
#include "kernels/rms_norm.h"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "tests/reference/rms_norm.h"
#include "tests/testing/gradcheck.h"
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

constexpr float kEpsilon = 1e-5F;

struct Shape {
  std::int64_t rows;
  std::int64_t size;  // of the gain
  std::int64_t groups;
  Layout layout;
};

// Parameters: shape, dtype of x / d_y / y, dtype of the residual / input.
class RmsNormTest : public ::testing::TestWithParam<std::tuple<Shape, DType, DType>> {
 protected:
  struct Forward {
    PoisonedMatrix residual_out;
    PoisonedMatrix y;
    PoisonedMatrix rstd;
  };
  struct Backward {
    PoisonedMatrix d_input;
    PoisonedMatrix d_gain;
  };

  std::int64_t columns() const { return shape_.size * shape_.groups; }

  Forward RunForward(int threads) {
    Forward f{PoisonedMatrix(residual_type_, shape_.rows, columns(), shape_.layout),
              PoisonedMatrix(type_, shape_.rows, columns(), shape_.layout),
              PoisonedMatrix(DType::kFloat32, shape_.rows, shape_.groups)};
    RmsNormForward(TestExec(threads), {.x = x_.view(),
                                       .residual_in = residual_.view(),
                                       .residual_out = f.residual_out.view(),
                                       .gain = shared_gain_,
                                       .y = f.y.view(),
                                       .rstd = f.rstd.floats(),
                                       .epsilon = kEpsilon});
    Synchronize();
    return f;
  }
  // x_ is the gradient of y, residual_ the input, d_residual_ the gradient of the other path.
  Backward RunBackward(int threads) {
    Backward b{PoisonedMatrix(residual_type_, shape_.rows, columns(), shape_.layout),
               PoisonedMatrix(DType::kFloat32, Matrix<double>(1, shape_.size))};
    SharedVector<float> rstd;
    const Matrix<double> input = residual_.values();
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (std::int64_t g = 0; g < shape_.groups; ++g) {
        rstd.push_back(static_cast<float>(
            reference::RmsNormRstd<double>(input, r, g * shape_.size, shape_.size, kEpsilon)));
      }
    }
    testing::PoisonedWorkspace workspace(RmsNormBackwardWorkspaceBytes(shape_.rows, shape_.size));
    RmsNormBackward(TestExec(threads, workspace.span()), {.d_y = x_.view(),
                                                          .input = residual_.view(),
                                                          .d_residual = d_residual_.view(),
                                                          .gain = shared_gain_,
                                                          .rstd = rstd,
                                                          .d_input = b.d_input.view(),
                                                          .d_gain = b.d_gain.floats()});
    Synchronize();
    return b;
  }

  Shape shape_ = std::get<0>(GetParam());
  DType type_ = std::get<1>(GetParam());
  DType residual_type_ = std::get<2>(GetParam());
  PoisonedMatrix x_{type_, RandomMatrix(shape_.rows, columns(), 1), shape_.layout};
  PoisonedMatrix residual_{residual_type_, RandomMatrix(shape_.rows, columns(), 2), shape_.layout};
  PoisonedMatrix d_residual_{residual_type_, RandomMatrix(shape_.rows, columns(), 3),
                             shape_.layout};
  std::vector<float> gain_ = VectorAs<float>(RandomMatrix(1, shape_.size, 4).values);
  SharedVector<float> shared_gain_ = Shared(gain_);
};

Matrix<double> Sum(const Matrix<double>& a, const Matrix<double>& b) {
  Matrix<double> sum = a;
  for (std::size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += b.values[i];
  return sum;
}

TEST_P(RmsNormTest, ForwardErrorIsWithinTheRule) {
  Forward f = RunForward(2);
  const Matrix<double> sum = Sum(residual_.values(), x_.values());
  const Matrix<double> stored_sum = Rounded(sum.As<float>(), residual_type_);
  EXPECT_EQ(f.residual_out.values().values, stored_sum.values);
  const auto exact = reference::RmsNorm<double>(sum, VectorAs<double>(gain_), kEpsilon);
  const auto honest = reference::RmsNorm<float>(stored_sum.As<float>(), gain_, kEpsilon);
  EXPECT_TRUE(WithinTheRule(f.y.values(), Rounded(honest, type_), exact));
  for (std::int64_t r = 0; r < shape_.rows; ++r) {
    for (std::int64_t g = 0; g < shape_.groups; ++g) {
      const double rstd =
          reference::RmsNormRstd<double>(stored_sum, r, g * shape_.size, shape_.size, kEpsilon);
      EXPECT_NEAR(f.rstd.values()(r, g), rstd, 1e-6 * rstd);
    }
  }
  EXPECT_TRUE(f.y.PoisonIntact() && f.residual_out.PoisonIntact() && f.rstd.PoisonIntact());
}

TEST_P(RmsNormTest, BackwardErrorIsWithinTheRule) {
  Backward b = RunBackward(2);
  const Matrix<double> d_y = x_.values();
  const Matrix<double> input = residual_.values();
  auto exact = reference::RmsNormBackward<double>(d_y, input, VectorAs<double>(gain_), kEpsilon);
  auto honest =
      reference::RmsNormBackward<float>(d_y.As<float>(), input.As<float>(), gain_, kEpsilon);
  const Matrix<double> d_residual = d_residual_.values();
  const Matrix<double> honest_d_x = Sum(honest.d_x.As<double>(), d_residual);
  EXPECT_TRUE(WithinTheRule(b.d_input.values(), Rounded(honest_d_x.As<float>(), residual_type_),
                            Sum(exact.d_x, d_residual)));
  const Matrix<double> d_gain = b.d_gain.values();
  for (std::int64_t c = 0; c < shape_.size; ++c) {
    // The terms may cancel; the error is one of their sizes.
    double size = 0.0;
    for (std::int64_t r = 0; r < shape_.rows; ++r) size += std::abs(d_y(r, c)) * 20.0;
    EXPECT_NEAR(d_gain(0, c), exact.d_gain[static_cast<std::size_t>(c)],
                1e-6 * (size + std::abs(exact.d_gain[static_cast<std::size_t>(c)])));
  }
  EXPECT_TRUE(b.d_input.PoisonIntact() && b.d_gain.PoisonIntact());
}

TEST_P(RmsNormTest, TheNumberOfThreadsChangesNoBit) {
  Forward forward = RunForward(1);
  Backward backward = RunBackward(1);
  for (const int threads : {2, 3, 7}) {
    EXPECT_EQ(RunForward(threads).y.bytes(), forward.y.bytes());
    Backward again = RunBackward(threads);
    EXPECT_EQ(again.d_input.bytes(), backward.d_input.bytes());
    EXPECT_EQ(again.d_gain.bytes(), backward.d_gain.bytes());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, RmsNormTest,
    ::testing::Combine(::testing::Values(Shape{1, 1, 1, {}}, Shape{3, 7, 1, {5, 3}},
                                         Shape{65, 64, 3, {1, 1}}, Shape{130, 129, 1, {0, 7}},
                                         Shape{0, 16, 2, {}},
                                         Shape{testing::OnPtx() ? 34 : 300, 768, 1, {}},
                                         // Groups of a part of a warp, of a warp and of several,
                                         // in whole packs and broken ones; the edges of a piece.
                                         Shape{33, 128, 3, {8, 0}}, Shape{31, 32, 5, {}},
                                         Shape{32, 256, 2, {4, 4}},
                                         Shape{testing::OnPtx() ? 5 : 34, 1024, 1, {}},
                                         Shape{3, 1023, 1, {1, 0}}, Shape{3, 1025, 1, {7, 0}},
                                         Shape{3, 2048, 1, {}},
                                         // More than a GPU keeps in registers, in fp32 and in bf16.
                                         Shape{2, 9000, 1, {}}, Shape{2, 16400, 1, {8, 0}},
                                         Shape{2, 8193, 1, {1, 0}}),
                       ::testing::Values(DType::kFloat32, DType::kBFloat16),
                       ::testing::Values(DType::kFloat32, DType::kBFloat16)));

TEST(RmsNormReferenceTest, BackwardIsTheDerivativeOfForward) {
  const Matrix<double> x = RandomMatrix(3, 6, 1);
  const Matrix<double> weights = RandomMatrix(3, 6, 2);
  const std::vector<double> gain = {0.5, -2.0, 1.5};
  const auto loss_of = [&](const Matrix<double>& input, const std::vector<double>& g) {
    const auto y = reference::RmsNorm<double>(input, g, 1e-5);
    double loss = 0.0;
    for (std::size_t i = 0; i < y.values.size(); ++i) loss += y.values[i] * weights.values[i];
    return loss;
  };
  const auto gradient = reference::RmsNormBackward<double>(weights, x, gain, 1e-5);
  const auto of_x = [&](const std::vector<double>& values) {
    Matrix<double> moved = x;
    moved.values = values;
    return loss_of(moved, gain);
  };
  EXPECT_TRUE(testing::IsGradientOf(of_x, x.values, gradient.d_x.values));
  const auto of_gain = [&](const std::vector<double>& values) { return loss_of(x, values); };
  EXPECT_TRUE(testing::IsGradientOf(of_gain, gain, gradient.d_gain));
}

TEST(RmsNormTest, NormsHeadsInPlaceOnAStridedView) {
  PoisonedMatrix qkv(DType::kFloat32, RandomMatrix(9, 96, 5), {3, 1});
  const Matrix<double> before = qkv.values();
  const SharedVector<float> gain(16, 2.0F);
  const TensorView k = qkv.view().ColumnRange(32, 32);
  RmsNormForward(TestExec(), {.x = k, .gain = gain, .y = k, .epsilon = kEpsilon});
  Synchronize();
  const Matrix<double> after = qkv.values();
  for (std::int64_t r = 0; r < 9; ++r) {
    for (std::int64_t c = 0; c < 96; ++c) {
      const std::int64_t head = c / 16 * 16;
      const double scale =
          c < 32 || c >= 64 ? 1.0
                            : 2.0 * reference::RmsNormRstd<double>(before, r, head, 16, kEpsilon);
      EXPECT_NEAR(after(r, c), before(r, c) * scale, 1e-5);
    }
  }
  EXPECT_TRUE(qkv.PoisonIntact());
}

TEST(RmsNormTest, NormsAnFp32StreamIntoBf16) {
  PoisonedMatrix x(DType::kFloat32, RandomMatrix(5, 33, 6));
  PoisonedMatrix y(DType::kBFloat16, 5, 33);
  const SharedVector<float> gain(33, 1.0F);
  RmsNormForward(TestExec(), {.x = x.view(), .gain = gain, .y = y.view(), .epsilon = kEpsilon});
  Synchronize();
  const auto exact = reference::RmsNorm<double>(x.values(), std::vector<double>(33, 1.0), kEpsilon);
  const auto honest =
      reference::RmsNorm<float>(x.values().As<float>(), std::vector<float>(33, 1.0F), kEpsilon);
  EXPECT_TRUE(WithinTheRule(y.values(), Rounded(honest, DType::kBFloat16), exact));
}

TEST(RmsNormTest, ResidualAndGradientMayShareMemory) {
  PoisonedMatrix x(DType::kFloat32, RandomMatrix(4, 8, 7));
  PoisonedMatrix stream(DType::kFloat32, RandomMatrix(4, 8, 8));
  const Matrix<double> sum = Sum(stream.values(), x.values());
  const SharedVector<float> gain(8, 1.0F);
  RmsNormForward(TestExec(), {.x = x.view(),
                              .residual_in = stream.view(),
                              .residual_out = stream.view(),
                              .gain = gain,
                              .y = x.view(),
                              .epsilon = kEpsilon});
  Synchronize();
  EXPECT_EQ(stream.values().values, Rounded(sum.As<float>(), DType::kFloat32).values);
}

// Wide accesses where the memory allows them and single ones elsewhere sum in one order.
TEST(RmsNormTest, WhereTheMemoryLiesChangesNoBit) {
  const SharedVector<float> gain(96, 0.7F);
  const SharedVector<float> rstd(80, 0.3F);
  const auto results = [&](DType type, Layout layout) {
    PoisonedMatrix x(type, RandomMatrix(40, 192, 9), layout);
    PoisonedMatrix y(type, 40, 192, layout);
    PoisonedMatrix d_x(type, 40, 192, layout);
    PoisonedMatrix d_gain(DType::kFloat32, Matrix<double>(1, 96));
    testing::PoisonedWorkspace workspace(RmsNormBackwardWorkspaceBytes(40, 96));
    RmsNormForward(TestExec(), {.x = x.view(), .gain = gain, .y = y.view(), .epsilon = kEpsilon});
    RmsNormBackward(TestExec(1, workspace.span()), {.d_y = y.view(),
                                                    .input = x.view(),
                                                    .gain = gain,
                                                    .rstd = rstd,
                                                    .d_input = d_x.view(),
                                                    .d_gain = d_gain.floats()});
    Synchronize();
    return std::tuple(y.values().values, d_x.values().values, d_gain.values().values);
  };
  for (const DType type : {DType::kFloat32, DType::kBFloat16}) {
    EXPECT_EQ(results(type, {1, 3}), results(type, {}));
  }
}

TEST(RmsNormTest, RowsOfZerosStayFinite) {
  PoisonedMatrix x(DType::kFloat32, Matrix<double>(3, 40));
  PoisonedMatrix y(DType::kFloat32, 3, 40);
  const SharedVector<float> gain(40, 1.0F);
  RmsNormForward(TestExec(), {.x = x.view(), .gain = gain, .y = y.view(), .epsilon = kEpsilon});
  Synchronize();
  EXPECT_EQ(y.values().values, std::vector<double>(120, 0.0));
}

TEST(RmsNormTest, RefusesColumnsThatAreNoWholeNumberOfGroups) {
  PoisonedMatrix x(DType::kFloat32, 2, 10);
  const SharedVector<float> gain(3, 1.0F);
  EXPECT_THROW(
      RmsNormForward(TestExec(), {.x = x.view(), .gain = gain, .y = x.view(), .epsilon = 1e-5F}),
      InternalError);
}

}  // namespace
}  // namespace sequela
