// ctest: cost=25 labels=sanitize;threads timeout=180 cuda
#include "kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "tests/reference/cross_entropy.h"
#include "tests/testing/gradcheck.h"
#include "tests/testing/planned_targets.h"
#include "tests/testing/poison.h"
#include "tests/testing/tolerance.h"

namespace sequela {
namespace {

using reference::Matrix;
using testing::PlannedTargets;
using testing::PoisonedMatrix;
using testing::PoisonedWorkspace;
using testing::RandomMatrix;
using testing::Rounded;
using testing::WithinTheRule;

struct Case {
  std::string name;
  std::int64_t tokens, vocabulary, hidden;
  DType type = DType::kFloat32;
  double share_with_target = 0.7;
  double scale = 0.3;
  double largest_weight = 2.0;
};

class CrossEntropyTest : public ::testing::TestWithParam<Case> {
 protected:
  struct Results {
    PoisonedMatrix nll, dhidden, dweight;
    bool BitwiseEqual(Results& other) {
      return nll.bytes() == other.nll.bytes() && dhidden.bytes() == other.dhidden.bytes() &&
             dweight.bytes() == other.dweight.bytes();
    }
  };

  CrossEntropyTest()
      : hidden_(c_.type, RandomMatrix(c_.tokens, c_.hidden, 1, c_.scale), {.gap = 3, .offset = 1}),
        weight_(c_.type, RandomMatrix(c_.vocabulary, c_.hidden, 2, c_.scale), {.gap = 1}) {
    PhiloxStream random(5, HashName("targets"), 0);
    for (std::int64_t t = 0; t < c_.tokens; ++t) {
      const bool has = random.NextUniform() < c_.share_with_target;
      const auto any =
          static_cast<std::int32_t>(random.NextUniform() * static_cast<double>(c_.vocabulary));
      // The first and the last entry are met often.
      const std::int32_t last = static_cast<std::int32_t>(c_.vocabulary) - 1;
      target_.push_back(!has ? kNoTarget : t % 5 == 0 ? last : t % 5 == 1 ? 0 : any);
      const double weight = c_.largest_weight * random.NextUniform();
      loss_weight_.push_back(t % 11 == 3 ? 0.0F : static_cast<float>(weight));
    }
  }

  Results Run(int threads) {
    Results r{PoisonedMatrix(DType::kFloat32, 1, c_.tokens),
              PoisonedMatrix(c_.type, c_.tokens, c_.hidden, {.gap = 5, .offset = 1}),
              PoisonedMatrix(DType::kFloat32, Before(), {.gap = 2, .offset = 1})};
    Exec exec = testing::TestExec(threads);
    PoisonedWorkspace workspace(
        CrossEntropyWorkspaceBytes(exec, c_.vocabulary, c_.hidden, c_.type));
    exec.workspace = workspace.span();
    const PlannedTargets targets(target_, c_.vocabulary);
    const auto loss_weight = testing::Shared(loss_weight_);
    CrossEntropy(exec, {.hidden_TD = hidden_.view(),
                        .weight_VD = weight_.view(),
                        .target = targets.target,
                        .loss_weight = loss_weight,
                        .nll = r.nll.floats(),
                        .dhidden_TD = r.dhidden.view(),
                        .dweight_VD = r.dweight.view(),
                        .plan = &targets.plan,
                        .plan_image = targets.image.data()});
    testing::Synchronize();
    return r;
  }
  // What dW already holds.
  Matrix<double> Before() { return RandomMatrix(c_.vocabulary, c_.hidden, 3, 0.01); }

  // What is rounded to bf16 before it is used.
  struct Rounding {
    bool logits = false;
    bool dlogits = false;
  };
  template <typename Real>
  reference::CrossEntropyResult<Real> Textbook(Rounding rounding) {
    const auto rounded_if = [](bool rounds) {
      return [=](Real value) {
        return rounds ? static_cast<Real>(ToFloat(ToBf16(static_cast<float>(value)))) : value;
      };
    };
    auto result = reference::CrossEntropy(hidden_.values().As<Real>(), weight_.values().As<Real>(),
                                          target_, loss_weight_, rounded_if(rounding.dlogits),
                                          rounded_if(rounding.logits));
    const Matrix<double> before = Before();
    for (std::size_t i = 0; i < before.values.size(); ++i) {
      result.dweight.values[i] += static_cast<Real>(static_cast<float>(before.values[i]));
    }
    return result;
  }

  Case c_ = GetParam();
  PoisonedMatrix hidden_, weight_;
  std::vector<std::int32_t> target_;
  std::vector<float> loss_weight_;
};

TEST_P(CrossEntropyTest, ErrorsAreWithinTheRule) {
  Results r = Run(2);
  const bool in_bf16 = c_.type == DType::kBFloat16;
  const auto exact = Textbook<double>({});
  const auto honest = Textbook<float>({.logits = in_bf16 && testing::OnCuda(), .dlogits = in_bf16});
  EXPECT_TRUE(WithinTheRule(r.nll.values(), honest.nll.As<double>(), exact.nll)) << "nll";
  EXPECT_TRUE(WithinTheRule(r.dhidden.values(), Rounded(honest.dhidden, c_.type), exact.dhidden))
      << "dhidden";
  EXPECT_TRUE(WithinTheRule(r.dweight.values(), honest.dweight.As<double>(), exact.dweight))
      << "dweight";
  EXPECT_TRUE(r.nll.PoisonIntact() && r.dhidden.PoisonIntact() && r.dweight.PoisonIntact());
}

TEST_P(CrossEntropyTest, ThreadsAndRepeatsChangeNoBit) {
  Results one = Run(1);
  // A device knows no threads of ours; one repeat is what an interpreter has the time for.
  const std::vector<int> all = testing::OnPtx() ? std::vector{1} : std::vector{1, 2, 3};
  for (const int threads : all) {
    Results again = Run(threads);
    EXPECT_TRUE(one.BitwiseEqual(again)) << threads << " threads";
  }
}

TEST_P(CrossEntropyTest, ARowDoesNotDependOnAnother) {
  Results before = Run(2);
  const std::int64_t changed = c_.tokens / 2;
  if (c_.tokens < 2) return;
  Matrix<double> hidden = hidden_.values();
  for (std::int64_t d = 0; d < c_.hidden; ++d) hidden(changed, d) = std::nan("");
  hidden_ = PoisonedMatrix(c_.type, hidden, {.gap = 3, .offset = 1});
  Results after = Run(2);
  const auto others = [&](const Matrix<double>& matrix, bool tokens_are_rows) {
    std::vector<double> values;
    for (std::int64_t r = 0; r < matrix.rows; ++r) {
      for (std::int64_t c = 0; c < matrix.columns; ++c) {
        if ((tokens_are_rows ? r : c) != changed) values.push_back(matrix(r, c));
      }
    }
    return values;
  };
  EXPECT_EQ(others(before.nll.values(), false), others(after.nll.values(), false));
  EXPECT_EQ(others(before.dhidden.values(), true), others(after.dhidden.values(), true));
}

constexpr DType kBf16 = DType::kBFloat16;
constexpr DType kFp32 = DType::kFloat32;

INSTANTIATE_TEST_SUITE_P(
    Shapes, CrossEntropyTest,
    ::testing::Values(Case{"Small", 70, 123, 32}, Case{"SmallBf16", 70, 123, 32, kBf16},
                      Case{"EveryRow", 130, 37, 16, kFp32, 1.1},
                      Case{"EveryRowBf16", 130, 37, 16, kBf16, 1.1},
                      Case{"NoTarget", 20, 37, 16, kFp32, -1.0}, Case{"NoToken", 0, 37, 16},
                      Case{"OneRow", 1, 37, 16, kBf16, 1.1}, Case{"OneEntry", 9, 1, 8},
                      Case{"OneEntryBf16", 9, 1, 8, kBf16}, Case{"TwoEntries", 30, 2, 8},
                      Case{"TwoEntriesBf16", 30, 2, 8, kBf16}, Case{"Below1024", 20, 1023, 8},
                      Case{"Exactly1024", 20, 1024, 8, kBf16}, Case{"Above1024", 20, 1025, 8},
                      Case{"Above1024Bf16", 20, 1025, 8, kBf16},
                      // CUDA takes larger blocks.
                      Case{"Large", 30, 5003, 8}, Case{"LargeBf16", 30, 5003, 8, kBf16},
                      Case{"LargerBf16", 12, 9001, 8, kBf16},
                      // Longer than what CUDA keeps of a row: 24,576 logits, 49,152 of bf16.
                      Case{"Longest", 3, 26003, 4, kFp32, 1.1},
                      Case{"LongestBf16", 3, 62003, 4, kBf16, 1.1},
                      Case{"WeightsOfZero", 30, 37, 16, kBf16, 0.7, 0.3, 0.0},
                      Case{"LargeLogits", 90, 211, 64, kFp32, 0.7, 2.0},
                      Case{"LargeLogitsBf16", 90, 211, 64, kBf16, 0.7, 2.0}),
    [](const auto& one) { return one.param.name; });

// More rows with a target than the 2,048 of a chunk, or 8,192 on CUDA.
INSTANTIATE_TEST_SUITE_P(SeveralChunks, CrossEntropyTest,
                         ::testing::Values(Case{"Narrow", 12100, 19, 8},
                                           Case{"NarrowBf16", 12100, 3, 2, kBf16},
                                           Case{"EveryRowBf16", 8300, 3, 2, kBf16, 1.1}),
                         [](const auto& one) { return one.param.name; });

TEST(CrossEntropyPlanTest, KeepsTheRowsWithATarget) {
  const std::vector<std::int32_t> target = {kNoTarget, 3, 0, kNoTarget, 4};
  CrossEntropyPlan plan;
  plan.Build(std::vector<std::int32_t>(9, 1), 2);
  plan.Build(target, 5);
  EXPECT_EQ(plan.num_tokens(), 5);
  EXPECT_EQ(plan.vocabulary(), 5);
  EXPECT_EQ(std::vector(plan.rows().begin(), plan.rows().end()), (std::vector{1, 2, 4}));
  EXPECT_LE(plan.ImageBytes(), CrossEntropyPlan::ImageBytesBound(5));
  std::vector<std::byte> image(static_cast<std::size_t>(plan.ImageBytes()) - 1);
  EXPECT_THROW(plan.WriteImage(image), InternalError);
}

TEST(CrossEntropyPlanTest, ATargetOutsideTheVocabularyIsOurMistake) {
  CrossEntropyPlan plan;
  EXPECT_THROW(plan.Build(std::vector<std::int32_t>{0, 5}, 5), InternalError);
  EXPECT_THROW(plan.Build(std::vector<std::int32_t>{0, -2}, 5), InternalError);
}

TEST(CrossEntropyReferenceTest, GradientsAreDerivatives) {
  const std::vector<std::int32_t> target = {2, -1, 0};
  const std::vector<float> loss_weight = {0.5F, 9.0F, 2.0F};
  const auto split = [](const std::vector<double>& x) {
    std::pair<Matrix<double>, Matrix<double>> parts{{3, 2}, {4, 2}};
    std::copy(x.begin(), x.begin() + 6, parts.first.values.begin());
    std::copy(x.begin() + 6, x.end(), parts.second.values.begin());
    return parts;
  };
  const auto run = [&](const std::vector<double>& x) {
    const auto [hidden, weight] = split(x);
    const auto exactly = [](double v) { return v; };
    return reference::CrossEntropy(hidden, weight, target, loss_weight, exactly, exactly);
  };
  const auto loss = [&](const std::vector<double>& x) {
    const auto nll = run(x).nll;
    return 0.5 * nll(0, 0) + 2.0 * nll(0, 2);
  };
  const std::vector<double> x = RandomMatrix(7, 2, 1).values;
  const auto result = run(x);
  std::vector<double> gradient = result.dhidden.values;
  gradient.insert(gradient.end(), result.dweight.values.begin(), result.dweight.values.end());
  EXPECT_TRUE(testing::IsGradientOf(loss, x, gradient));
}

}  // namespace
}  // namespace sequela
