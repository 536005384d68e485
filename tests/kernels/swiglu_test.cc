// ctest: labels=sanitize;threads cuda
#include "kernels/swiglu.h"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "tests/reference/swiglu.h"
#include "tests/testing/gradcheck.h"
#include "tests/testing/poison.h"
#include "tests/testing/tolerance.h"

namespace sequela {
namespace {

using reference::Matrix;
using testing::Layout;
using testing::PoisonedMatrix;
using testing::RandomMatrix;
using testing::Rounded;
using testing::Synchronize;
using testing::TestExec;
using testing::WithinTheRule;

struct Shape {
  std::int64_t rows;
  std::int64_t columns;
  Layout layout;
};

class SwigluTest : public ::testing::TestWithParam<std::tuple<Shape, DType>> {
 protected:
  PoisonedMatrix Forward(int threads) {
    PoisonedMatrix out(type_, shape_.rows, shape_.columns, shape_.layout);
    SwigluForward(TestExec(threads), {.gate_up_T2F = gate_up_.view(), .out_TF = out.view()});
    Synchronize();
    return out;
  }
  PoisonedMatrix Backward(int threads) {
    PoisonedMatrix d_gate_up(type_, shape_.rows, 2 * shape_.columns, shape_.layout);
    SwigluBackward(TestExec(threads), {.gate_up_T2F = gate_up_.view(),
                                       .d_out_TF = d_out_.view(),
                                       .d_gate_up_T2F = d_gate_up.view()});
    Synchronize();
    return d_gate_up;
  }

  Shape shape_ = std::get<0>(GetParam());
  DType type_ = std::get<1>(GetParam());
  PoisonedMatrix gate_up_{type_, RandomMatrix(shape_.rows, 2 * shape_.columns, 1, 3.0),
                          shape_.layout};
  PoisonedMatrix d_out_{type_, RandomMatrix(shape_.rows, shape_.columns, 2), shape_.layout};
};

TEST_P(SwigluTest, ErrorsAreWithinTheRule) {
  const Matrix<double> gate_up = gate_up_.values();
  PoisonedMatrix out = Forward(2);
  EXPECT_TRUE(WithinTheRule(out.values(), Rounded(reference::Swiglu(gate_up.As<float>()), type_),
                            reference::Swiglu(gate_up)));
  EXPECT_TRUE(out.PoisonIntact());

  const Matrix<double> d_out = d_out_.values();
  const auto honest = reference::SwigluBackward(gate_up.As<float>(), d_out.As<float>());
  PoisonedMatrix d_gate_up = Backward(2);
  EXPECT_TRUE(WithinTheRule(d_gate_up.values(), Rounded(honest, type_),
                            reference::SwigluBackward(gate_up, d_out)));
  EXPECT_TRUE(d_gate_up.PoisonIntact());
}

TEST_P(SwigluTest, TheNumberOfThreadsChangesNoBit) {
  for (const int threads : {2, 3, 7}) {
    EXPECT_EQ(Forward(threads).bytes(), Forward(1).bytes());
    EXPECT_EQ(Backward(threads).bytes(), Backward(1).bytes());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, SwigluTest,
    ::testing::Combine(::testing::Values(Shape{1, 1, {}}, Shape{5, 7, {3, 1}}, Shape{0, 8, {}},
                                         Shape{33, 131, {1, 5}},
                                         Shape{testing::OnPtx() ? 20 : 200, 768, {}},
                                         // Whole packs at broken starts, broken ones at whole.
                                         Shape{3, 1024, {16, 4}}, Shape{3, 1024, {1, 0}},
                                         Shape{2, 1023, {1, 0}}, Shape{2, 1025, {7, 0}}),
                       ::testing::Values(DType::kFloat32, DType::kBFloat16)));

TEST(SwigluReferenceTest, BackwardIsTheDerivativeOfForward) {
  const Matrix<double> gate_up = RandomMatrix(2, 6, 3);
  const Matrix<double> weights = RandomMatrix(2, 3, 4);
  const auto loss = [&](const std::vector<double>& values) {
    Matrix<double> moved = gate_up;
    moved.values = values;
    const auto out = reference::Swiglu(moved);
    double sum = 0.0;
    for (std::size_t i = 0; i < out.values.size(); ++i) sum += out.values[i] * weights.values[i];
    return sum;
  };
  EXPECT_TRUE(testing::IsGradientOf(loss, gate_up.values,
                                    reference::SwigluBackward(gate_up, weights).values));
}

TEST(SwigluTest, GatesFarOutSaturate) {
  Matrix<double> gate_up(1, 8);
  gate_up.values = {-1e4, -300.0, 300.0, 1e4, 1.0, 1.0, 1.0, 1.0};
  PoisonedMatrix x(DType::kFloat32, gate_up);
  PoisonedMatrix out(DType::kFloat32, 1, 4);
  SwigluForward(TestExec(), {.gate_up_T2F = x.view(), .out_TF = out.view()});
  Synchronize();
  const std::vector<double> expected = {0.0, 0.0, 300.0, 1e4};
  for (std::int64_t c = 0; c < 4; ++c)
    EXPECT_NEAR(out.values()(0, c), expected[static_cast<std::size_t>(c)], 1e-30);
  PoisonedMatrix ones(DType::kFloat32, [] {
    Matrix<double> m(1, 4);
    m.values.assign(4, 1.0);
    return m;
  }());
  SwigluBackward(TestExec(),
                 {.gate_up_T2F = x.view(), .d_out_TF = ones.view(), .d_gate_up_T2F = x.view()});
  Synchronize();
  const std::vector<double> d_expected = {0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 300.0, 1e4};
  for (std::int64_t c = 0; c < 8; ++c)
    EXPECT_NEAR(x.values()(0, c), d_expected[static_cast<std::size_t>(c)], 1e-30);
}

}  // namespace
}  // namespace sequela
