// ctest: labels=sanitize;threads cuda
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cross_entropy.h"
#include "tests/reference/cross_entropy.h"
#include "tests/testing/planned_targets.h"
#include "tests/testing/poison.h"

namespace sequela {
namespace {

using reference::Matrix;
using testing::PlannedTargets;
using testing::PoisonedMatrix;
using testing::PoisonedWorkspace;
using testing::RandomMatrix;
using testing::SharedVector;

struct Case {
  std::int64_t vocabulary;
  DType type = DType::kFloat32;
  bool corrects = true;  // with class weights

  friend void PrintTo(const Case& c, std::ostream* os) {
    *os << c.vocabulary << (c.type == DType::kBFloat16 ? " bf16" : "")
        << (c.corrects ? "" : " without class weights");
  }
};

// Few rows; every third entry of the vocabulary is alike, so that there are ties.
class CrossEntropyEvaluateTest : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr std::size_t kTokens = 40;
  static constexpr std::int64_t kHidden = 8;

  CrossEntropyEvaluateTest() {
    for (std::int64_t t = 0; t < std::ssize(target_); ++t) {
      const std::int64_t entry = t % 13 == 0 ? vocabulary_ - 1 : t * 7 % vocabulary_;
      target_[static_cast<std::size_t>(t)] =
          t % 4 == 3 ? kNoTarget : static_cast<std::int32_t>(entry);
    }
    for (std::int32_t v = 0; v < vocabulary_; ++v) {
      const float log_weight = 0.05F * static_cast<float>(v % 9) - 0.2F;
      if (GetParam().corrects) log_class_weight_.push_back(log_weight);
      group_.push_back(v % 6 - 2);
    }
  }

  // All scores, or nll alone.
  void Evaluate(bool nll_alone = false) {
    Exec exec = testing::TestExec(2);
    PoisonedWorkspace workspace(
        CrossEntropyWorkspaceBytes(exec, vocabulary_, kHidden, GetParam().type));
    exec.workspace = workspace.span();
    const PlannedTargets targets(target_, vocabulary_);
    CrossEntropyEvaluateArgs args{.hidden_TD = hidden_.view(),
                                  .weight_VD = weight_.view(),
                                  .target = targets.target,
                                  .nll = nll_,
                                  .plan = &targets.plan,
                                  .plan_image = targets.image.data()};
    if (!nll_alone) {
      args.log_class_weight = log_class_weight_;
      args.group_of_token = group_;
      if (GetParam().corrects) args.corrected_nll = corrected_nll_;
      args.group_nll = group_nll_;
      args.rank = rank_;
    }
    CrossEntropyEvaluate(exec, args);
    testing::Synchronize();
  }
  static Matrix<double> Ties(std::int64_t vocabulary) {
    Matrix<double> weight = RandomMatrix(vocabulary, kHidden, 2, 0.2);
    for (std::int64_t v = 3; v < vocabulary; v += 3) {
      for (std::int64_t d = 0; d < kHidden; ++d) weight(v, d) = weight(v - 3, d);
    }
    return weight;
  }
  // To a few units in the last place of a logit.
  static bool IsClose(double actual, double exact) {
    return std::abs(actual - exact) <= 1e-5 + 2e-7 * exact;
  }
  std::vector<double> Logits(std::size_t t) {
    return reference::LogitsOfRow(hidden_.values(), weight_.values(), static_cast<std::int64_t>(t));
  }
  // What training on CUDA may change a row's nll by, where it rounds logits to bf16.
  double RoundingOfLogits(std::size_t t) {
    if (!testing::OnCuda() || target_[t] == kNoTarget) return 0.0;
    double largest = 0.0;
    for (const double logit : Logits(t)) largest = std::max(largest, std::abs(logit));
    // In fp32 sums of exponentials differ in their order alone.
    return GetParam().type == DType::kFloat32 ? 1e-6 * (10.0 + largest)
                                              : 2 * 0x1p-8 * largest + 1e-5;
  }
  std::vector<double> CorrectedLogits(std::size_t t) {
    std::vector<double> logits = Logits(t);
    for (std::size_t v = 0; v < log_class_weight_.size(); ++v) logits[v] -= log_class_weight_[v];
    return logits;
  }

  std::int64_t vocabulary_ = GetParam().vocabulary;
  PoisonedMatrix hidden_{GetParam().type, RandomMatrix(kTokens, kHidden, 1), {.gap = 1}};
  PoisonedMatrix weight_{GetParam().type, Ties(vocabulary_), {.gap = 3, .offset = 1}};
  std::vector<std::int32_t> target_ = std::vector<std::int32_t>(kTokens);
  SharedVector<std::int32_t> group_;
  SharedVector<float> log_class_weight_;
  SharedVector<float> nll_ = SharedVector<float>(kTokens, NAN), corrected_nll_ = nll_,
                      group_nll_ = nll_;
  SharedVector<std::int32_t> rank_ = SharedVector<std::int32_t>(kTokens, 77);
};

TEST_P(CrossEntropyEvaluateTest, NegativeLogProbabilitiesAreTheTextbooks) {
  Evaluate();
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::int32_t y = target_[t];
    if (y == kNoTarget) {
      EXPECT_EQ(nll_[t] + group_nll_[t], 0.0F);
      if (GetParam().corrects) {
        EXPECT_EQ(corrected_nll_[t], 0.0F);
      }
      continue;
    }
    const auto is_target = [&](std::int64_t v) { return v == y; };
    EXPECT_TRUE(IsClose(nll_[t], reference::NegativeLogShare(Logits(t), is_target)));
    const std::vector<double> corrected = CorrectedLogits(t);
    if (GetParam().corrects) {
      EXPECT_TRUE(IsClose(corrected_nll_[t], reference::NegativeLogShare(corrected, is_target)));
    }
    const auto in_group = [&](std::int64_t v) {
      return group_[static_cast<std::size_t>(v)] == group_[static_cast<std::size_t>(y)];
    };
    EXPECT_TRUE(IsClose(group_nll_[t], reference::NegativeLogShare(corrected, in_group)));
  }
}

TEST_P(CrossEntropyEvaluateTest, RankCountsLargerCorrectedLogitsAndEqualOnesBefore) {
  Evaluate();
  int ties = 0;
  for (std::size_t t = 0; t < kTokens; ++t) {
    if (target_[t] == kNoTarget) {
      EXPECT_EQ(rank_[t], -1);
      continue;
    }
    const auto y = static_cast<std::size_t>(target_[t]);
    const std::vector<double> logits = CorrectedLogits(t);
    int rank = 0;
    for (std::size_t v = 0; v < logits.size(); ++v) {
      // Equal rows of the projection with the same class weight have exactly equal logits; others
      // differ clearly.
      const bool alike = v % 3 == 0 && y % 3 == 0 && (!GetParam().corrects || v % 9 == y % 9);
      const bool equal = alike || v == y;
      ties += equal && v < y ? 1 : 0;
      rank += equal ? (v < y ? 1 : 0) : (logits[v] > logits[y] ? 1 : 0);
    }
    EXPECT_EQ(rank_[t], rank) << "token " << t;
  }
  if (vocabulary_ >= 75) {
    EXPECT_GT(ties, 20);
  }
}

TEST_P(CrossEntropyEvaluateTest, AgreesWithTraining) {
  Evaluate(/*nll_alone=*/true);
  SharedVector<float> nll(kTokens);
  PoisonedMatrix dhidden(GetParam().type, kTokens, kHidden);
  PoisonedMatrix dweight(DType::kFloat32, Matrix<double>(vocabulary_, kHidden));
  Exec exec = testing::TestExec(1);
  PoisonedWorkspace workspace(
      CrossEntropyWorkspaceBytes(exec, vocabulary_, kHidden, GetParam().type));
  exec.workspace = workspace.span();
  const PlannedTargets targets(target_, vocabulary_);
  CrossEntropy(exec, {.hidden_TD = hidden_.view(),
                      .weight_VD = weight_.view(),
                      .target = targets.target,
                      .loss_weight = {},
                      .nll = nll,
                      .dhidden_TD = dhidden.view(),
                      .dweight_VD = dweight.view(),
                      .plan = &targets.plan,
                      .plan_image = targets.image.data()});
  testing::Synchronize();
  for (std::size_t t = 0; t < kTokens; ++t) {
    EXPECT_NEAR(nll[t], nll_[t], RoundingOfLogits(t)) << "token " << t;
  }
}

TEST_P(CrossEntropyEvaluateTest, RepeatsChangeNoBit) {
  Evaluate();
  const auto nll = nll_, corrected_nll = corrected_nll_, group_nll = group_nll_;
  Evaluate();
  EXPECT_EQ(nll, nll_);
  if (GetParam().corrects) {
    EXPECT_EQ(corrected_nll, corrected_nll_);
  }
  EXPECT_EQ(group_nll, group_nll_);
}

constexpr DType kFp32 = DType::kFloat32;
constexpr DType kBf16 = DType::kBFloat16;

INSTANTIATE_TEST_SUITE_P(Vocabularies, CrossEntropyEvaluateTest,
                         ::testing::Values(Case{1}, Case{2}, Case{2, kBf16}, Case{75},
                                           Case{75, kBf16}, Case{75, kFp32, false}, Case{1023},
                                           Case{1024}, Case{1025, kBf16},
                                           Case{4099}));  // larger blocks on CUDA

}  // namespace
}  // namespace sequela
