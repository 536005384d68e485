// ctest: labels=sanitize;threads cuda
#include "kernels/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include "tests/testing/poison.h"

namespace sequela {
namespace {

using reference::VectorAs;
using testing::RandomMatrix;
using testing::Shared;
using testing::SharedVector;
using testing::Synchronize;
using testing::TestExec;

struct State {
  SharedVector<float> master;
  SharedVector<float> m;
  SharedVector<float> v;
  SharedVector<bf16> weights;
};

class AdamwTest : public ::testing::Test {
 protected:
  static constexpr double kRate = 1e-2;
  static constexpr double kBeta1 = 0.9;
  static constexpr double kBeta2 = 0.95;
  static constexpr double kEpsilon = 1e-8;
  static constexpr double kDecay = 0.1;
  static constexpr double kScale = 0.37;

  static SharedVector<float> Values(std::size_t n, std::uint64_t seed) {
    return Shared(VectorAs<float>(RandomMatrix(1, static_cast<std::int64_t>(n), seed).values));
  }
  static State Initial(std::size_t n) {
    return {Values(n, 1), SharedVector<float>(n), SharedVector<float>(n), SharedVector<bf16>(n)};
  }
  static AdamwArgs Args(State& state, const SharedVector<float>& gradient, int step) {
    return {.master = state.master,
            .m = state.m,
            .v = state.v,
            .gradient = gradient,
            .weights = state.weights,
            .learning_rate = kRate,
            .beta1 = kBeta1,
            .beta2 = kBeta2,
            .epsilon = kEpsilon,
            .weight_decay = kDecay,
            .gradient_scale = kScale,
            .bias_correction1 = 1.0 - std::pow(kBeta1, step),
            .bias_correction2 = 1.0 - std::pow(kBeta2, step)};
  }
};

// The recurrence of the paper with its corrected moments written out, in fp64.
TEST_F(AdamwTest, FollowsTheRecurrenceForTwentySteps) {
  constexpr std::size_t kSize = 517;
  State state = Initial(kSize);
  std::vector<double> p(state.master.begin(), state.master.end());
  std::vector<double> m(kSize);
  std::vector<double> v(kSize);
  for (int step = 1; step <= 20; ++step) {
    const SharedVector<float> gradient = Values(kSize, 100 + static_cast<std::uint64_t>(step));
    Adamw(TestExec(2), Args(state, gradient, step));
    Synchronize();
    for (std::size_t i = 0; i < kSize; ++i) {
      const double g = kScale * static_cast<double>(gradient[i]);
      m[i] = kBeta1 * m[i] + (1.0 - kBeta1) * g;
      v[i] = kBeta2 * v[i] + (1.0 - kBeta2) * g * g;
      const double m_hat = m[i] / (1.0 - std::pow(kBeta1, step));
      const double v_hat = v[i] / (1.0 - std::pow(kBeta2, step));
      p[i] -= kRate * kDecay * p[i];
      p[i] -= kRate * m_hat / (std::sqrt(v_hat) + kEpsilon);
    }
  }
  for (std::size_t i = 0; i < kSize; ++i) {
    // One rounding of p per half step; the moments to a few units in the last place.
    EXPECT_NEAR(state.master[i], p[i], 40 * 0x1p-24 * (std::abs(p[i]) + 0.2));
    EXPECT_NEAR(state.m[i], m[i], 4e-6 * (std::abs(m[i]) + 1e-1));
    EXPECT_NEAR(state.v[i], v[i], 4e-6 * v[i]);
    EXPECT_EQ(state.weights[i].bits, ToBf16(state.master[i]).bits);
  }
}

// The closed form of the first step: p (1 - lr wd) - lr sign(g), whatever the gradient's size.
TEST_F(AdamwTest, TheFirstStepHasTheSizeOfTheLearningRate) {
  State state = Initial(4);
  state.master = {1.0F, 1.0F, -2.0F, 0.5F};
  const SharedVector<float> gradient = {1e-3F, -5.0F, 1e4F, 0.0F};
  Adamw(TestExec(), Args(state, gradient, 1));
  Synchronize();
  EXPECT_NEAR(state.master[0], 0.999 - 0.01, 1e-6);
  EXPECT_NEAR(state.master[1], 0.999 + 0.01, 1e-6);
  EXPECT_NEAR(state.master[2], -1.998 - 0.01, 1e-6);
  EXPECT_NEAR(state.master[3], 0.4995, 1e-6);
}

// Shards cut the buffer anywhere: an element's result must not depend on the range, nor on threads.
TEST_F(AdamwTest, CutsAndThreadsChangeNoBit) {
  constexpr std::size_t kSize = 40000;
  const SharedVector<float> gradient = Values(kSize, 9);
  State whole = Initial(kSize);
  Adamw(TestExec(), Args(whole, gradient, 3));
  for (const int threads : {2, 3, 7}) {
    State cut = Initial(kSize);
    const AdamwArgs all = Args(cut, gradient, 3);
    std::size_t begin = 0;
    for (const std::size_t end : {std::size_t{1}, std::size_t{1027}, kSize}) {
      AdamwArgs part = all;
      part.master = all.master.subspan(begin, end - begin);
      part.m = all.m.subspan(begin, end - begin);
      part.v = all.v.subspan(begin, end - begin);
      part.gradient = all.gradient.subspan(begin, end - begin);
      part.weights = all.weights.subspan(begin, end - begin);
      Adamw(TestExec(threads), part);
      begin = end;
    }
    Synchronize();
    EXPECT_EQ(cut.master, whole.master);
    EXPECT_EQ(cut.m, whole.m);
    EXPECT_EQ(cut.v, whole.v);
    for (std::size_t i = 0; i < kSize; ++i) {
      ASSERT_EQ(cut.weights[i].bits, whole.weights[i].bits) << i;
    }
  }
}

TEST_F(AdamwTest, WeightsMayBeAbsent) {
  const SharedVector<float> gradient = Values(33, 9);
  State with = Initial(33);
  State without = Initial(33);
  without.weights.clear();
  Adamw(TestExec(), Args(with, gradient, 1));
  Adamw(TestExec(), Args(without, gradient, 1));
  Synchronize();
  EXPECT_EQ(with.master, without.master);
}

TEST_F(AdamwTest, RefusesBuffersOfDifferentSizes) {
  State state = Initial(8);
  const SharedVector<float> gradient(7);
  EXPECT_THROW(Adamw(TestExec(), Args(state, gradient, 1)), InternalError);
}

}  // namespace
}  // namespace sequela
