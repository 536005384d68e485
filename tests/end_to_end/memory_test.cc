// ctest: timeout=300 arrow
// The peak memory printed before the first step is what the kernel says in the end (VmHWM), on
// every rank, with checkpoints written while steps go on and evaluations between them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/testing/tiny_world.h"

namespace sequela::testing {
namespace {

struct Case {
  std::string name;
  int ranks = 0;  // 0: no launcher
  std::vector<std::string> overrides;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class PeakMemoryTest : public ::testing::TestWithParam<Case> {
 protected:
#if defined(SEQUELA_SANITIZED)
  void SetUp() override { GTEST_SKIP() << "what a sanitizer takes is in no plan"; }
#endif

  // Large enough that training outweighs program and libraries.
  static std::vector<std::string> Overrides() {
    std::vector<std::string> all = {"model.num_hidden_layers=4",     "model.hidden_size=128",
                                    "model.intermediate_size=352",   "model.num_attention_heads=4",
                                    "data.global_batch_tokens=8192", "schedule.steps=3",
                                    "checkpoint.every_steps=1",      "evaluation.every_steps=2"};
    const auto& own = GetParam().overrides;
    all.insert(all.end(), own.begin(), own.end());
    return all;
  }

  TinyWorld world_{100};
};

TEST_P(PeakMemoryTest, IsWithinTenPercentOfWhatWasPrintedBefore) {
  const ProgramResult trained =
      RunProgram(world_.TrainArguments("run", Overrides()), {.ranks = GetParam().ranks});
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  const auto summary = nlohmann::json::parse(FileBytes(world_.folder() / "run/summary.json"));
  const auto planned = summary.at("planned_peak_memory_bytes").get<std::vector<double>>();
  const auto seen = summary.at("peak_memory_bytes").get<std::vector<double>>();
  ASSERT_EQ(planned.size(), static_cast<std::size_t>(std::max(1, GetParam().ranks)));
  for (std::size_t rank = 0; rank < planned.size(); ++rank) {
    EXPECT_NEAR(seen.at(rank) / planned[rank], 1.0, 0.1) << "rank " << rank << ": " << seen[rank];
    EXPECT_GT(seen[rank], 150e6);
  }
  const std::size_t line = trained.errors.find("peak of each rank");
  const std::size_t first_step = trained.errors.find("step 1/");
  ASSERT_NE(line, std::string::npos) << trained.errors;
  ASSERT_NE(first_step, std::string::npos) << trained.errors;
  EXPECT_LT(line, first_step) << trained.errors;
}

INSTANTIATE_TEST_SUITE_P(Runs, PeakMemoryTest,
                         ::testing::Values(Case{"Alone", 0, {}}, Case{"TwoRanks", 2, {}},
                                           Case{"LargeModelOnTwoRanks",
                                                2,
                                                {"model.hidden_size=512",
                                                 "model.intermediate_size=1408",
                                                 "data.global_batch_tokens=2048",
                                                 "schedule.steps=2", "evaluation.every_steps=0"}}),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace sequela::testing
