// ctest: timeout=300 arrow
// The main job as a user runs it: simulate, ingest, verify, train on 2 ranks, evaluate.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/testing/tiny_world.h"

namespace sequela::testing {
namespace {

TinyWorld& World() {
  static TinyWorld world;
  return world;
}

TEST(MainPath, StoreVerifiesAndCanBeInspected) {
  EXPECT_EQ(RunProgram({"verify", World().store()}).exit_code, 0);
  const ProgramResult inspected = RunProgram({"inspect", World().store(), "--json"});
  ASSERT_EQ(inspected.exit_code, 0) << inspected.errors;
  EXPECT_TRUE(nlohmann::json::accept(inspected.output)) << inspected.output;
}

TEST(MainPath, BuildAndLibrariesAreNamed) {
  const ProgramResult version = RunProgram({"--version"});
  ASSERT_EQ(version.exit_code, 0) << version.errors;
  const ProgramResult trained =
      RunProgram(World().TrainArguments("named", {"schedule.steps=2"}), {.ranks = 2});
  for (const char* name : {"HDF5 1.", "Arrow ", "oneDNN ", "Open MPI", "bf16 instructions"}) {
    EXPECT_NE(version.output.find(name), std::string::npos) << version.output;
    EXPECT_NE(trained.errors.find(name), std::string::npos) << trained.errors;
  }
}

TEST(MainPath, TrainsOnTwoRanksAndBeatsTheUnigram) {
  const ProgramResult trained =
      RunProgram(World().TrainArguments("run", {"schedule.steps=60"}), {.ranks = 2});
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  EXPECT_EQ(trained.output, "") << "progress belongs on standard error";

  const ProgramResult evaluated = RunProgram({"evaluate", World().folder() / "run", "--json"});
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated.errors;
  const nlohmann::json result = nlohmann::json::parse(evaluated.output);
  for (const char* key :
       {"split", "targets", "events", "nll_per_token", "nll_per_event", "perplexity", "top1",
        "top5", "top10", "by_kind", "unigram_nll_per_token", "bigram_nll_per_token",
        "oracle_nll_per_token", "nll_per_token_interval"}) {
    EXPECT_TRUE(result.contains(key)) << key;
  }
  EXPECT_LT(result["nll_per_token"], result["unigram_nll_per_token"]);
  // Nothing can beat the truth by more than the noise of this small held-out split.
  EXPECT_GT(result["nll_per_token"].get<double>(),
            0.98 * result["oracle_nll_per_token"].get<double>());
}

TEST(MainPath, EvaluationIsTheSameOnAnyNumberOfRanks) {
  ASSERT_EQ(RunProgram(World().TrainArguments("ranks")).exit_code, 0);
  const std::string run = World().folder() / "ranks";
  const auto alone = nlohmann::json::parse(RunProgram({"evaluate", run, "--json"}).output);
  const auto both =
      nlohmann::json::parse(RunProgram({"evaluate", run, "--json"}, {.ranks = 2}).output);
  EXPECT_NEAR(alone["nll_per_token"].get<double>(), both["nll_per_token"].get<double>(), 1e-6);
  EXPECT_EQ(alone["targets"], both["targets"]);
  EXPECT_EQ(alone["top1"], both["top1"]);
}

TEST(MainPath, OracleAgreesWithEvaluate) {
  ASSERT_EQ(RunProgram(World().TrainArguments("oracle", {"schedule.steps=2"})).exit_code, 0);
  const auto evaluated =
      nlohmann::json::parse(RunProgram({"evaluate", World().folder() / "oracle", "--json"}).output);
  const ProgramResult told = RunProgram({"oracle", World().store(), "--json"});
  ASSERT_EQ(told.exit_code, 0) << told.errors;
  const auto oracle = nlohmann::json::parse(told.output);
  EXPECT_EQ(oracle["targets"], evaluated["targets"]);
  EXPECT_NEAR(oracle["oracle_nll_per_token"].get<double>(),
              evaluated["oracle_nll_per_token"].get<double>(), 1e-9);
}

TEST(MainPath, EventsOfTwoTokensAreTrainedAndEvaluatedAsEvents) {
  const std::string config = World().folder() / "separate.yaml";
  std::ofstream(config) << "value_tokens: separate\n";
  const std::string store = World().folder() / "separate";
  ASSERT_EQ(RunProgram({"ingest", World().meds(), "--out", store, "--config", config}).exit_code,
            0);
  EXPECT_EQ(RunProgram({"verify", store}).exit_code, 0);
  const ProgramResult trained = RunProgram(
      World().TrainArguments("separate-run", {"data.store=" + store, "schedule.steps=60"}),
      {.ranks = 2});
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  const auto evaluate = [](const std::string& run) {
    const ProgramResult result = RunProgram({"evaluate", run, "--json"});
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    return nlohmann::json::parse(result.output);
  };
  const auto result = evaluate(World().folder() / "separate-run");
  const auto targets = result["targets"].get<double>();
  const auto events = result["events"].get<double>();
  EXPECT_GT(targets, events);
  // An event's NLL is the sum over its tokens.
  EXPECT_NEAR(result["nll_per_event"].get<double>() * events,
              result["nll_per_token"].get<double>() * targets, 1e-6 * targets);
  EXPECT_LT(result["nll_per_token"], result["unigram_nll_per_token"]);
  EXPECT_FALSE(result.contains("oracle_nll_per_token")) << "the closed forms know joint tokens";
  // The same events as with joint tokens.
  ASSERT_EQ(RunProgram(World().TrainArguments("joint-run", {"schedule.steps=2"})).exit_code, 0);
  EXPECT_EQ(evaluate(World().folder() / "joint-run")["events"], result["events"]);
}

TEST(MainPath, ARunThatIsDoneIsLeftAsItIs) {
  ASSERT_EQ(RunProgram(World().TrainArguments("twice")).exit_code, 0);
  const std::string run = World().folder() / "twice";
  const std::string before = FileBytes(run + "/metrics.jsonl");
  const ProgramResult again = RunProgram(World().TrainArguments("twice"));
  EXPECT_EQ(again.exit_code, 0) << again.errors;
  EXPECT_EQ(FileBytes(run + "/metrics.jsonl"), before);
}

}  // namespace
}  // namespace sequela::testing
