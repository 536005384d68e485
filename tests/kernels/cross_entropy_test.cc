// ctest: labels=sanitize timeout=180
#include "kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "tests/reference/cross_entropy.h"
#include "tests/testing/gradcheck.h"
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

struct Case {
  std::string name;
  std::int64_t tokens, vocabulary, hidden;
  DType type = DType::kFloat32;
  double share_with_target = 0.7;
  double scale = 0.3;
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
      loss_weight_.push_back(t % 11 == 3 ? 0.0F : static_cast<float>(2.0 * random.NextUniform()));
    }
  }

  Results Run(int threads) {
    Results r{PoisonedMatrix(DType::kFloat32, 1, c_.tokens),
              PoisonedMatrix(c_.type, c_.tokens, c_.hidden, {.gap = 5, .offset = 1}),
              PoisonedMatrix(DType::kFloat32, Before(), {.gap = 2, .offset = 1})};
    Exec exec{.num_threads = threads};
    PoisonedWorkspace workspace(
        CrossEntropyWorkspaceBytes(exec, c_.vocabulary, c_.hidden, c_.type));
    exec.workspace = workspace.span();
    CrossEntropy(exec, {.hidden_TD = hidden_.view(),
                        .weight_VD = weight_.view(),
                        .target = target_,
                        .loss_weight = loss_weight_,
                        .nll = r.nll.floats(),
                        .dhidden_TD = r.dhidden.view(),
                        .dweight_VD = r.dweight.view()});
    return r;
  }
  // What dW already holds.
  Matrix<double> Before() { return RandomMatrix(c_.vocabulary, c_.hidden, 3, 0.01); }

  template <typename Real>
  reference::CrossEntropyResult<Real> Textbook(bool round_dlogits) {
    const auto round = [&](Real value) {
      return round_dlogits ? static_cast<Real>(ToFloat(ToBf16(static_cast<float>(value)))) : value;
    };
    auto result = reference::CrossEntropy(hidden_.values().As<Real>(), weight_.values().As<Real>(),
                                          target_, loss_weight_, round);
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
  const auto exact = Textbook<double>(false);
  const auto honest = Textbook<float>(c_.type == DType::kBFloat16);
  EXPECT_TRUE(WithinTheRule(r.nll.values(), honest.nll.As<double>(), exact.nll)) << "nll";
  EXPECT_TRUE(WithinTheRule(r.dhidden.values(), Rounded(honest.dhidden, c_.type), exact.dhidden))
      << "dhidden";
  EXPECT_TRUE(WithinTheRule(r.dweight.values(), honest.dweight.As<double>(), exact.dweight))
      << "dweight";
  EXPECT_TRUE(r.nll.PoisonIntact() && r.dhidden.PoisonIntact() && r.dweight.PoisonIntact());
}

TEST_P(CrossEntropyTest, ThreadsAndRepeatsChangeNoBit) {
  Results one = Run(1);
  for (const int threads : {1, 2, 3}) {
    Results again = Run(threads);
    EXPECT_TRUE(one.BitwiseEqual(again)) << threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, CrossEntropyTest,
    ::testing::Values(Case{"Small", 70, 123, 32}, Case{"SmallBf16", 70, 123, 32, DType::kBFloat16},
                      Case{"SeveralChunks", 2300, 19, 8}, Case{"EveryRow", 130, 37, 16, {}, 1.1},
                      Case{"NoTarget", 20, 37, 16, {}, -1.0}, Case{"NoToken", 0, 37, 16},
                      Case{"OneEntry", 9, 1, 8}, Case{"LargeLogits", 90, 211, 64, {}, 0.7, 2.0},
                      Case{"LargeLogitsBf16", 90, 211, 64, DType::kBFloat16, 0.7, 2.0}),
    [](const auto& one) { return one.param.name; });

// Evaluation on few rows, many of them alike, so that there are ties.
class CrossEntropyEvaluateTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kTokens = 40, kVocabulary = 75, kHidden = 8;

  CrossEntropyEvaluateTest()
      : hidden_(DType::kFloat32, RandomMatrix(kTokens, kHidden, 1)),
        weight_(DType::kFloat32, Ties()) {
    for (std::int32_t t = 0; t < kTokens; ++t)
      target_.push_back(t % 4 == 3 ? kNoTarget : t * 7 % 75);
    for (std::int32_t v = 0; v < kVocabulary; ++v) {
      log_class_weight_.push_back(0.05F * static_cast<float>(v % 9) - 0.2F);
      group_.push_back(v % 6 - 2);
    }
    Exec exec{.num_threads = 2};
    PoisonedWorkspace workspace(
        CrossEntropyWorkspaceBytes(exec, kVocabulary, kHidden, DType::kFloat32));
    exec.workspace = workspace.span();
    CrossEntropyEvaluate(exec, {.hidden_TD = hidden_.view(),
                                .weight_VD = weight_.view(),
                                .target = target_,
                                .log_class_weight = log_class_weight_,
                                .group_of_token = group_,
                                .nll = nll_,
                                .corrected_nll = corrected_nll_,
                                .group_nll = group_nll_,
                                .rank = rank_});
  }
  static Matrix<double> Ties() {
    Matrix<double> weight = RandomMatrix(kVocabulary, kHidden, 2, 0.2);
    for (std::int64_t v = 3; v < kVocabulary; v += 3) {
      for (std::int64_t d = 0; d < kHidden; ++d) weight(v, d) = weight(v - 3, d);
    }
    return weight;
  }
  // To a few units in the last place of a logit.
  static bool IsClose(double actual, double exact) {
    return std::abs(actual - exact) <= 1e-5 + 2e-7 * exact;
  }
  std::vector<double> Logits(std::int64_t t) {
    return reference::LogitsOfRow(hidden_.values(), weight_.values(), t);
  }

  PoisonedMatrix hidden_, weight_;
  std::vector<std::int32_t> target_, group_;
  std::vector<float> log_class_weight_;
  std::vector<float> nll_ = std::vector<float>(kTokens, NAN), corrected_nll_ = nll_,
                     group_nll_ = nll_;
  std::vector<std::int32_t> rank_ = std::vector<std::int32_t>(kTokens, 77);
};

TEST_F(CrossEntropyEvaluateTest, NegativeLogProbabilitiesAreTheTextbooks) {
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::int32_t y = target_[t];
    if (y == kNoTarget) {
      EXPECT_EQ(nll_[t] + corrected_nll_[t] + group_nll_[t], 0.0F);
      continue;
    }
    std::vector<double> logits = Logits(static_cast<std::int64_t>(t));
    const auto is_target = [&](std::int64_t v) { return v == y; };
    EXPECT_TRUE(IsClose(nll_[t], reference::NegativeLogShare(logits, is_target)));
    for (std::size_t v = 0; v < kVocabulary; ++v) logits[v] -= log_class_weight_[v];
    EXPECT_TRUE(IsClose(corrected_nll_[t], reference::NegativeLogShare(logits, is_target)));
    const auto in_group = [&](std::int64_t v) {
      return group_[static_cast<std::size_t>(v)] == group_[static_cast<std::size_t>(y)];
    };
    EXPECT_TRUE(IsClose(group_nll_[t], reference::NegativeLogShare(logits, in_group)));
  }
}

TEST_F(CrossEntropyEvaluateTest, RankCountsLargerCorrectedLogitsAndEqualOnesBefore) {
  int ties = 0;
  for (std::size_t t = 0; t < kTokens; ++t) {
    if (target_[t] == kNoTarget) {
      EXPECT_EQ(rank_[t], -1);
      continue;
    }
    const auto y = static_cast<std::size_t>(target_[t]);
    std::vector<double> logits = Logits(static_cast<std::int64_t>(t));
    for (std::size_t v = 0; v < kVocabulary; ++v) logits[v] -= log_class_weight_[v];
    int rank = 0;
    for (std::size_t v = 0; v < kVocabulary; ++v) {
      // Equal rows of the projection with the same class weight have exactly equal logits; others
      // differ clearly.
      const bool equal = v % 3 == 0 && y % 3 == 0 && v % 9 == y % 9;
      ties += equal && v < y ? 1 : 0;
      rank += equal ? (v < y ? 1 : 0) : (logits[v] > logits[y] ? 1 : 0);
    }
    EXPECT_EQ(rank_[t], rank) << "token " << t;
  }
  EXPECT_GT(ties, 20);
}

TEST_F(CrossEntropyEvaluateTest, AgreesWithTraining) {
  std::vector<float> nll(kTokens);
  PoisonedMatrix dhidden(DType::kFloat32, kTokens, kHidden);
  PoisonedMatrix dweight(DType::kFloat32, Matrix<double>(kVocabulary, kHidden));
  Exec exec{.num_threads = 1};
  PoisonedWorkspace workspace(
      CrossEntropyWorkspaceBytes(exec, kVocabulary, kHidden, DType::kFloat32));
  exec.workspace = workspace.span();
  CrossEntropy(exec, {.hidden_TD = hidden_.view(),
                      .weight_VD = weight_.view(),
                      .target = target_,
                      .loss_weight = {},
                      .nll = nll,
                      .dhidden_TD = dhidden.view(),
                      .dweight_VD = dweight.view()});
  EXPECT_EQ(nll, nll_);
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
    return reference::CrossEntropy(hidden, weight, target, loss_weight, [](double v) { return v; });
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
