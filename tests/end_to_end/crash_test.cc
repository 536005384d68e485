// ctest: timeout=900 labels=slow arrow
// Exact restarts: kill -9 at random moments, stop signals, and resumes on another number of ranks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "tests/testing/tiny_world.h"

namespace sequela::testing {
namespace {

using std::chrono::milliseconds;

TinyWorld& World() {
  static TinyWorld world;
  return world;
}

std::string FinalWeights(const std::string& run) {
  return FileBytes(run + "/checkpoints/" + NewestCheckpoint(run) + "/model.safetensors");
}

std::size_t LinesOf(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  return static_cast<std::size_t>(
      std::count(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>(), '\n'));
}

class CrashTest : public ::testing::TestWithParam<int> {  // the number of ranks; 0: no launcher
 protected:
  // Checkpoints every other step, so that many moments fall into a save.
  std::vector<std::string> Arguments(const std::string& name) const {
    return World().TrainArguments(name, {"checkpoint.every_steps=2", "schedule.steps=30"});
  }
  ProgramOptions Options() const { return {.ranks = GetParam()}; }
};

TEST_P(CrashTest, KillAtRandomMomentsChangesNoBit) {
  const std::string name = "crash" + std::to_string(GetParam());
  const ProgramResult whole = RunProgram(Arguments(name + "-whole"), Options());
  ASSERT_EQ(whole.exit_code, 0) << whole.errors;
  const std::string whole_run = World().folder() / (name + "-whole");
  const auto metrics = DeterministicMetrics(whole_run);
  const std::string weights = FinalWeights(whole_run);

  std::mt19937 random(20260501U + static_cast<unsigned>(GetParam()));
  int killed = 0;
  const int moments = 10;  // in each of the two instances: 20 in all
  for (int moment = 0; moment < moments; ++moment) {
    const std::string run_name = name + "-" + std::to_string(moment);
    const std::string run = World().folder() / run_name;
    RunningProgram program(Arguments(run_name), Options());
    // A step of the run, then a moment within it: whatever else the machine is doing, the moments
    // are spread over starting, stepping and saving.
    const auto step = static_cast<std::size_t>(30 * moment / moments);
    while (LinesOf(run + "/metrics.jsonl") < step && !program.WaitFor(milliseconds(1))) {
    }
    program.WaitFor(milliseconds(random() % 20));
    const auto ranks = program.RankProcesses();
    if (!ranks.empty()) {
      ::kill(ranks[random() % ranks.size()], SIGKILL);
      ++killed;
    }
    program.Finish();
    const ProgramResult resumed = RunProgram(Arguments(run_name), Options());
    ASSERT_EQ(resumed.exit_code, 0) << "killed after step " << step << "\n" << resumed.errors;
    EXPECT_EQ(DeterministicMetrics(run), metrics) << "killed after step " << step;
    EXPECT_EQ(FinalWeights(run), weights) << "killed after step " << step;
  }
  EXPECT_GE(killed, moments / 2) << "the moments must fall into the run";
}

INSTANTIATE_TEST_SUITE_P(Ranks, CrashTest, ::testing::Values(0, 2));

class StopSignalTest : public ::testing::TestWithParam<int> {};

TEST_P(StopSignalTest, EndsInACheckpointWithExitCodeThree) {
  const std::string name = "stop" + std::to_string(GetParam());
  const auto arguments =
      World().TrainArguments(name, {"schedule.steps=4000", "evaluation.every_steps=0"});
  RunningProgram program(arguments, {.ranks = 2});
  while (NewestCheckpoint(World().folder() / name).empty() && !program.WaitFor(milliseconds(20))) {
  }
  program.Signal(GetParam());
  const ProgramResult stopped = program.Finish();
  EXPECT_EQ(stopped.exit_code, 3) << stopped.errors;
  const std::string newest = NewestCheckpoint(World().folder() / name);
  ASSERT_NE(newest, "");
  // The checkpoint is that of the last step in metrics.jsonl: nothing that was done is lost.
  const auto metrics = DeterministicMetrics(World().folder() / name);
  EXPECT_EQ(std::stoll(newest.substr(5)), metrics.back().at("step").get<std::int64_t>());
}

INSTANTIATE_TEST_SUITE_P(Signals, StopSignalTest, ::testing::Values(SIGTERM, SIGUSR1, SIGINT));

TEST(OtherWorldSize, ResumesAlongTheSameCurve) {
  ASSERT_EQ(RunProgram(World().TrainArguments("curve"), {.ranks = 1}).exit_code, 0);
  const auto expected = Losses(World().folder() / "curve");
  for (const auto& [first, second] : {std::pair{1, 2}, std::pair{2, 1}, std::pair{4, 2}}) {
    const std::string name = "curve" + std::to_string(first) + std::to_string(second);
    const std::string run = World().folder() / name;
    {
      RunningProgram program(World().TrainArguments(name, {"parallel.zero_stage=1"}),
                             {.ranks = first});
      while (NewestCheckpoint(run).empty() && !program.WaitFor(milliseconds(5))) {
      }
      program.SignalGroup(SIGKILL);
    }
    std::this_thread::sleep_for(milliseconds(300));  // the orphaned ranks notice and end
    const ProgramResult resumed =
        RunProgram(World().TrainArguments(name, {"parallel.zero_stage=0"}), {.ranks = second});
    ASSERT_EQ(resumed.exit_code, 0) << resumed.errors;
    const auto losses = Losses(run);
    ASSERT_EQ(losses.size(), expected.size());
    for (std::size_t step = 0; step < losses.size(); ++step) {
      EXPECT_NEAR(losses[step], expected[step], 1e-5 * std::abs(expected[step])) << step;
    }
  }
}

}  // namespace
}  // namespace sequela::testing
