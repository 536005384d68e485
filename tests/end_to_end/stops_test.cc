// ctest: timeout=600 labels=slow arrow mpi
// Stop requests at random moments of trainings whose matrix products take the kernels of oneDNN that
// no signal handler may interrupt: each ends with exit code 3 and a checkpoint, and goes on from it to
// the same bits. tests/end_to_end/stops.sh does the same at length on real records.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/testing/tiny_world.h"

namespace sequela::testing {
namespace {

using std::chrono::milliseconds;

constexpr int kStopped = 3;
constexpr int kSteps = 20;

TinyWorld& World() {
  static TinyWorld world;
  return world;
}

// Shapes on which more than half of all stops ended in a corrupt heap where a handler took them.
std::vector<std::string> Arguments(const std::string& name,
                                   const std::vector<std::string>& overrides = {}) {
  std::vector<std::string> arguments = World().TrainArguments(
      name, {"data.context_length=512", "data.global_batch_tokens=2048", "model.hidden_size=128",
             "model.intermediate_size=352", "model.num_attention_heads=4",
             "model.num_key_value_heads=4", "checkpoint.every_steps=0", "evaluation.every_steps=0",
             "schedule.steps=" + std::to_string(kSteps)});
  arguments.insert(arguments.end(), overrides.begin(), overrides.end());
  return arguments;
}

std::string RunOf(const std::string& name) { return World().folder() / name; }

std::string FinalWeights(const std::string& run) {
  return FileBytes(run + "/checkpoints/" + NewestCheckpoint(run) + "/model.safetensors");
}

std::ptrdiff_t StepsIn(const std::string& run) {
  std::ifstream stream(run + "/metrics.jsonl", std::ios::binary);
  return std::count(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>(), '\n');
}

// Waits for `steps` lines of metrics and some milliseconds more.
void WaitForStep(RunningProgram& program, const std::string& run, std::ptrdiff_t steps,
                 unsigned milliseconds_more) {
  while (StepsIn(run) < steps && !program.WaitFor(milliseconds(1))) {
  }
  program.WaitFor(milliseconds(milliseconds_more));
}

void Stop(const RunningProgram& program, int kind) {
  if (kind == 0) {
    program.PressInterrupt();
  } else {
    program.Signal(kind == 1 ? SIGTERM : SIGUSR1);
  }
}

class StopsTest : public ::testing::TestWithParam<int> {};  // ranks; 0: without a launcher

TEST_P(StopsTest, AtRandomMomentsKeepEveryBit) {
  const ProgramOptions options = {.ranks = GetParam(), .terminal = true};
  const std::string name = "stops" + std::to_string(GetParam());
  const ProgramResult whole = RunProgram(Arguments(name + "-whole"), options);
  ASSERT_EQ(whole.exit_code, 0) << whole.errors;
  const auto metrics = DeterministicMetrics(RunOf(name + "-whole"));
  const std::string weights = FinalWeights(RunOf(name + "-whole"));

  std::mt19937 random(20261201U + static_cast<unsigned>(GetParam()));
  for (int moment = 0; moment < 3; ++moment) {
    const std::string stopped_name = name + "-" + std::to_string(moment);
    RunningProgram program(Arguments(stopped_name), options);
    // Alone it is ended by a signal that comes before its main begins: there is nothing to keep then.
    const int least_steps = GetParam() == 0 ? 1 : 0;
    WaitForStep(program, RunOf(stopped_name), std::max(least_steps, moment * kSteps / 4),
                random() % 60);
    Stop(program, moment);
    const ProgramResult stopped = program.Finish();
    ASSERT_EQ(stopped.exit_code, kStopped) << moment << ": " << stopped.errors;
    const ProgramResult resumed = RunProgram(Arguments(stopped_name), options);
    ASSERT_EQ(resumed.exit_code, 0) << moment << ": " << resumed.errors;
    EXPECT_EQ(DeterministicMetrics(RunOf(stopped_name)), metrics) << moment;
    EXPECT_EQ(FinalWeights(RunOf(stopped_name)), weights) << moment;
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, StopsTest, ::testing::Values(0, 2));

TEST(StopRequests, EverySignalOfOperatorsIsOne) {
  for (const int signal : {SIGHUP, SIGUSR2, SIGXCPU}) {
    const std::string name = "signal" + std::to_string(signal);
    RunningProgram program(Arguments(name, {"schedule.steps=100000"}), {});
    WaitForStep(program, RunOf(name), 2, 0);
    program.Signal(signal);
    const ProgramResult stopped = program.Finish();
    EXPECT_EQ(stopped.exit_code, kStopped) << signal << ": " << stopped.errors;
    EXPECT_NE(NewestCheckpoint(RunOf(name)), "");
  }
}

// Pressed before the ranks have started: it waits for them.
TEST(StopRequests, TheFirstMomentIsNotTooEarly) {
  for (const unsigned early : {20U, 150U, 300U}) {
    const std::string name = "early" + std::to_string(early);
    RunningProgram program(Arguments(name, {"schedule.steps=100000"}),
                           {.ranks = 2, .terminal = true});
    program.WaitFor(milliseconds(early));
    program.PressInterrupt();
    const ProgramResult stopped = program.Finish();
    // Before the script has looked at its arguments, nothing has begun.
    if (stopped.exit_code == 130 || stopped.exit_code == 128 + SIGINT) {
      EXPECT_LT(early, 100U) << stopped.errors;
      continue;
    }
    EXPECT_EQ(stopped.exit_code, kStopped) << early << ": " << stopped.errors;
    EXPECT_NE(NewestCheckpoint(RunOf(name)), "");
  }
}

TEST(StopRequests, ASecondInterruptEndsAllRanksAtOnce) {
  RunningProgram program(
      Arguments("twice", {"schedule.steps=100000", "data.global_batch_tokens=2000000"}),
      {.ranks = 2, .terminal = true});
  program.WaitFor(milliseconds(2500));  // in the first step, which takes far longer
  program.PressInterrupt();
  EXPECT_FALSE(program.WaitFor(milliseconds(500)));
  program.PressInterrupt();
  EXPECT_TRUE(program.WaitFor(std::chrono::minutes(1)));
  EXPECT_EQ(program.Finish().exit_code, 130);
  EXPECT_TRUE(program.RankProcesses().empty());
}

TEST(StopRequests, TheScriptTakesItsRanksWithItWhenKilled) {
  RunningProgram program(Arguments("orphans", {"schedule.steps=100000"}), {.ranks = 2});
  WaitForStep(program, RunOf("orphans"), 2, 0);
  ASSERT_EQ(program.RankProcesses().size(), 2U);
  program.SignalGroup(SIGKILL);
  for (int i = 0; i < 500 && !program.RankProcesses().empty(); ++i)
    program.WaitFor(milliseconds(10));
  EXPECT_TRUE(program.RankProcesses().empty());
}

std::ptrdiff_t ThreadsOf(pid_t process) {
  std::error_code ended;
  const std::filesystem::directory_iterator tasks("/proc/" + std::to_string(process) + "/task",
                                                  ended);
  return std::distance(tasks, std::filesystem::directory_iterator{});
}

// It writes no checkpoint and has nothing to go on from. Short: some attempts come too late.
TEST(StopRequests, ADryRunIsEnded) {
  bool met = false;
  for (int attempt = 0; attempt < 20 && !met; ++attempt) {
    RunningProgram program(Arguments("dry", {"--dry-run"}), {});
    // With a second thread, that which takes signals, the command has begun.
    while (!program.WaitFor(milliseconds(0))) {
      const auto processes = program.RankProcesses();
      if (!processes.empty() && ThreadsOf(processes[0]) > 1) break;
    }
    program.Signal(SIGTERM);
    const int exit_code = program.Finish().exit_code;
    met = exit_code == 128 + SIGTERM;
    EXPECT_TRUE(met || exit_code == 0) << exit_code;
  }
  EXPECT_TRUE(met);
}

// The reader of the log goes away (a pipe into head), and the training does not mind.
TEST(StopRequests, ABrokenPipeOfTheLogEndsNoTraining) {
  for (const char* launcher : {"", SEQUELA_SOURCE_DIR "/launch/mpirun.sh 2 "}) {
    const std::string name = *launcher == '\0' ? "pipe" : "pipe-ranks";
    std::string command;
    for (const std::string& argument : Arguments(name, {"logging.every_steps=1"})) {
      command += fmt::format(" '{}'", argument);
    }
    const std::string code = World().folder() / (name + ".code");
    const std::string line =
        fmt::format("export OMP_NUM_THREADS=1; ({}{}{} 2>&1 >/dev/null; echo $? > {}) | head -1",
                    launcher, SEQUELA_PROGRAM, command, code);
    ASSERT_EQ(std::system((line + " > /dev/null").c_str()), 0);
    EXPECT_EQ(FileBytes(code), "0\n") << line;
    EXPECT_EQ(StepsIn(RunOf(name)), kSteps);
  }
}

}  // namespace
}  // namespace sequela::testing
