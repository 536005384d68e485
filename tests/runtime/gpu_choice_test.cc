// ctest: labels=sanitize timeout=60
// Which GPU each rank takes, from what all see.
#include "runtime/gpu_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sequela {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(GpuChoiceTest, EveryRankSeesAllGpus) {
  const std::vector<RankGpus> ranks = {
      {"a", 0, {"x", "y"}}, {"a", 1, {"x", "y"}}, {"b", 0, {"x", "z"}}};
  EXPECT_THAT(ChooseGpus(ranks).indices, ElementsAre(0, 1, 0));
}

TEST(GpuChoiceTest, EveryRankSeesOneOfItsOwn) {
  const std::vector<RankGpus> ranks = {{"a", 0, {"x"}}, {"a", 1, {"y"}}, {"a", 2, {"z"}}};
  EXPECT_THAT(ChooseGpus(ranks).indices, ElementsAre(0, 0, 0));
}

TEST(GpuChoiceTest, AnotherOrderOfTheSameGpusIsNoObstacle) {
  const std::vector<RankGpus> ranks = {{"a", 0, {"x", "y"}}, {"a", 1, {"y", "x"}}};
  EXPECT_THAT(ChooseGpus(ranks).indices, ElementsAre(0, 0));
}

TEST(GpuChoiceTest, RanksThatWouldShareOneAreNamed) {
  const std::vector<RankGpus> ranks = {{"a", 0, {"x"}}, {"a", 1, {"x"}}};
  const GpuChoice choice = ChooseGpus(ranks);
  EXPECT_THAT(choice.indices, IsEmpty());
  EXPECT_THAT(choice.obstacle, HasSubstr("rank 1 on a"));
}

TEST(GpuChoiceTest, OneMachineWithoutGpusDecidesForAll) {
  const std::vector<RankGpus> ranks = {{"a", 0, {"x"}}, {"b", 0, {}}};
  const GpuChoice choice = ChooseGpus(ranks);
  EXPECT_THAT(choice.indices, IsEmpty());
  EXPECT_THAT(choice.obstacle, HasSubstr("rank 1 on b sees no GPU"));
}

TEST(GpuChoiceTest, WithoutAnyGpuThereIsNoObstacle) {
  const std::vector<RankGpus> ranks = {{"a", 0, {}}, {"a", 1, {}}};
  EXPECT_THAT(ChooseGpus(ranks).indices, IsEmpty());
  EXPECT_EQ(ChooseGpus(ranks).obstacle, "");
}

}  // namespace
}  // namespace sequela
