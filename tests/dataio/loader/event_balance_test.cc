// ctest: labels=sanitize timeout=60
#include "dataio/loader/event_balance.h"

#include <gtest/gtest.h>

#include <cmath>

#include "dataio/store/chain_store.h"
#include "tests/testing/tiny_store.h"

namespace sequela {
namespace {

TEST(EventBalanceTest, AllOnesAtAlphaOne) {
  for (const float weight : BalanceWeights(testing::TinyVocabulary(9), 1.0))
    EXPECT_EQ(weight, 1.0F);
}

TEST(EventBalanceTest, TheMeanOverTrainTargetsIsOne) {
  const Vocabulary vocabulary = testing::TinyVocabulary(9);
  for (const double alpha : {0.0, 0.3, 0.5, 0.9}) {
    const std::vector<float> weights = BalanceWeights(vocabulary, alpha);
    double sum = 0;
    double count = 0;
    for (std::int32_t i = 0; i < vocabulary.size(); ++i) {
      if (!IsTarget(vocabulary[i])) {
        EXPECT_EQ(weights[static_cast<std::size_t>(i)], 1.0F);
        continue;
      }
      const auto n = static_cast<double>(vocabulary[i].train_count);
      sum += n * static_cast<double>(weights[static_cast<std::size_t>(i)]);
      count += n;
    }
    EXPECT_NEAR(sum / count, 1.0, 1e-6);
  }
}

TEST(EventBalanceTest, ATypeFourTimesRarerWeighsTwiceAsMuchAtOneHalf) {
  std::vector<TokenEntry> tokens = testing::TinyVocabulary(3).tokens();
  const auto set = [&](const char* text, std::int64_t count) {
    for (TokenEntry& entry : tokens) {
      if (entry.text == text) entry.train_count = count;
    }
  };
  set("CODE//0", 400);
  set("CODE//1", 100);
  set("CODE//2", 0);
  const Vocabulary vocabulary(tokens);
  const std::vector<float> weights = BalanceWeights(vocabulary, 0.5);
  const auto weight = [&](const char* text) {
    return weights[static_cast<std::size_t>(vocabulary.Find(text))];
  };
  EXPECT_NEAR(weight("CODE//1") / weight("CODE//0"), 2.0F, 1e-5F);
  EXPECT_NEAR(weight("CODE//2") / weight("CODE//1"), 10.0F, 1e-4F);  // 0 is taken as 1
}

}  // namespace
}  // namespace sequela
