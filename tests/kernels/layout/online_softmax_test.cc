// The online softmax against the one that sees all scores at once, in fp64.
#include "kernels/layout/online_softmax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/base/philox.h"

namespace sequela {
namespace {

constexpr float kMinusInfinity = -INFINITY;

struct Softmax {
  double lse = 0.0;
  double mean = 0.0;  // of the scores' indices, weighted by probability
};

Softmax AtOnce(const std::vector<float>& scores, double scale) {
  double sum = 0.0, weighted = 0.0;
  const double max = *std::ranges::max_element(scores);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double p = std::exp(scale * (scores[i] - max));
    sum += p;
    weighted += p * static_cast<double>(i);
  }
  return {scale * max + std::log(sum), weighted / sum};
}

// As the kernels do it, `block` scores at a time.
Softmax InBlocks(const std::vector<float>& scores, float scale, std::size_t block) {
  const float c = scale * std::log2(std::exp(1.0F));
  float max = kMinusInfinity, sum = 0.0F, weighted = 0.0F;
  for (std::size_t first = 0; first < scores.size(); first += block) {
    const std::size_t end = std::min(scores.size(), first + block);
    float new_max = max;
    for (std::size_t i = first; i < end; ++i) new_max = std::max(new_max, scores[i]);
    const OnlineSoftmaxStep step = StepOnlineSoftmax(max, new_max, c);
    const float shrink = std::exp2(step.exponent);
    max = new_max;
    sum *= shrink;
    weighted *= shrink;
    for (std::size_t i = first; i < end; ++i) {
      const float p = std::exp2(ScoreExponent(scores[i], step.shift, c));
      sum += p;
      weighted += p * static_cast<float>(i);
    }
  }
  return {LogSumExp(max, sum, scale), weighted * InverseSum(sum)};
}

std::vector<float> Scores(double size) {
  PhiloxStream random(3, HashName("online softmax test"), 0);
  std::vector<float> scores(300);
  for (float& score : scores) score = static_cast<float>(size * random.NextNormal());
  return scores;
}

TEST(OnlineSoftmaxTest, BlocksGiveWhatAllScoresGive) {
  for (const double size : {1.0, 30.0, 1000.0}) {
    const std::vector<float> scores = Scores(size);
    const Softmax exact = AtOnce(scores, 0.125F);
    for (const std::size_t block : {1U, 7U, 64U, 300U}) {
      const Softmax ours = InBlocks(scores, 0.125F, block);
      // 300 roundings of half a unit in the last place, in a sum and in its logarithm.
      EXPECT_NEAR(ours.lse, exact.lse, 300 * 0x1p-24 + 4 * 0x1p-24 * std::abs(exact.lse));
      EXPECT_NEAR(ours.mean, exact.mean, 300 * 300 * 0x1p-24);
    }
  }
}

TEST(OnlineSoftmaxTest, MaskedScoresAndEmptyBlocksChangeNothing) {
  std::vector<float> scores = Scores(1.0);
  const Softmax all = InBlocks(scores, 0.125F, 10);
  std::vector<float> masked(20, kMinusInfinity);  // blocks that see nothing, first and last
  masked.insert(masked.end(), scores.begin(), scores.end());
  masked.insert(masked.end(), 20, kMinusInfinity);
  const Softmax ours = InBlocks(masked, 0.125F, 10);
  EXPECT_EQ(ours.lse, all.lse);
  EXPECT_NEAR(ours.mean - 20.0, all.mean, 1e-3);
}

TEST(OnlineSoftmaxTest, NothingSeenIsZeroAndMinusInfinity) {
  const Softmax nothing = InBlocks(std::vector<float>(20, kMinusInfinity), 0.125F, 8);
  EXPECT_EQ(nothing.lse, -HUGE_VAL);
  EXPECT_EQ(nothing.mean, 0.0);
}

TEST(OnlineSoftmaxTest, OneScoreIsExact) {
  const Softmax one = InBlocks({731.5F}, 0.125F, 64);
  EXPECT_EQ(one.lse, static_cast<double>(731.5F * 0.125F));
}

}  // namespace
}  // namespace sequela
