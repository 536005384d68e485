// ctest: timeout=120
// How a job of several ranks ends: exit code (124: `timeout` had to end it) and what the user reads. The test starts itself
// under the launcher; with --as it plays a rank.
#include "runtime/world.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

std::string g_program;

struct Ending {
  int code = -1;
  std::string text;
};

Ending RunCommand(const std::string& command) {
  Ending ending;
  FILE* pipe = ::popen(("timeout 60 " + command + " 2>&1").c_str(), "r");
  std::array<char, 4096> chunk{};
  while (std::fgets(chunk.data(), chunk.size(), pipe) != nullptr) ending.text += chunk.data();
  const int status = ::pclose(pipe);
  ending.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ending;
}

Ending RunRanks(int ranks, const std::string& role) {
  return RunCommand(
      fmt::format("{}/launch/mpirun.sh {} {} --as={}", SEQUELA_SOURCE_DIR, ranks, g_program, role));
}

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

class SeveralRanksTest : public ::testing::Test {
 protected:
  void SetUp() override {
#ifndef SEQUELA_WITH_MPI
    GTEST_SKIP() << "built without MPI";
#endif
  }
};

TEST_F(SeveralRanksTest, OneRankThatFailsEndsTheOthersWithItsCodeAndOneMessage) {
  const Ending ending = RunRanks(3, "one-fails");
  EXPECT_EQ(ending.code, 4) << ending.text;
  EXPECT_EQ(Count(ending.text, "the disk of rank 2"), 1) << ending.text;
}

TEST_F(SeveralRanksTest, WhatAllRanksFindWrongIsSaidOnce) {
  const Ending ending = RunRanks(3, "all-fail");
  EXPECT_EQ(ending.code, 2) << ending.text;
  EXPECT_EQ(Count(ending.text, "a wrong setting"), 1) << ending.text;
}

TEST_F(SeveralRanksTest, AKilledRankEndsTheJob) {
  const Ending ending = RunRanks(2, "one-is-killed");
  EXPECT_EQ(ending.code, 137) << ending.text;
}

TEST_F(SeveralRanksTest, AStopTogetherKeepsItsCode) {
  const Ending ending = RunRanks(2, "stop");
  EXPECT_EQ(ending.code, 3) << ending.text;
}

TEST_F(SeveralRanksTest, AHangingRankIsNamedAtTheDeadline) {
  const Ending ending = RunRanks(2, "one-hangs");
  EXPECT_EQ(ending.code, 4) << ending.text;
  EXPECT_EQ(Count(ending.text, "rank 1 on "), 1) << ending.text;
  EXPECT_EQ(Count(ending.text, "backward of step 7"), 1) << ending.text;
}

TEST(LauncherTest, ProcessesThatCannotFindEachOtherAreRefused) {
  for (const char* settings :
       {"SLURM_STEP_NUM_TASKS=2", "WORLD_SIZE=2 RANK=0 LOCAL_RANK=0", "MV2_COMM_WORLD_SIZE=2",
        "FLUX_JOB_SIZE=2 FLUX_TASK_RANK=0", "PALS_RANKID=0 PALS_LOCAL_SIZE=2",
        "PALS_RANKID=1 PALS_LOCAL_SIZE=1", "JSM_NAMESPACE_SIZE=2 JSM_NAMESPACE_RANK=0",
        "HOROVOD_SIZE=2", "PMI_RANK=1"}) {
    const Ending ending = RunCommand(fmt::format("env {} {} --as=stop", settings, g_program));
    EXPECT_EQ(ending.code, 2) << settings << ": " << ending.text;
    EXPECT_EQ(Count(ending.text, "2 processes"), 1) << settings << ": " << ending.text;
  }
}

TEST(LauncherTest, OneProcessOfALauncherTrainsAlone) {
  for (const char* settings : {"WORLD_SIZE=1 RANK=0", "FLUX_JOB_SIZE=1 FLUX_TASK_RANK=0",
                               "SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0", "WORLD_SIZE="}) {
    const Ending ending = RunCommand(fmt::format("env {} {} --as=stop", settings, g_program));
    EXPECT_EQ(ending.code, 3) << settings << ": " << ending.text;
  }
}

TEST(LauncherTest, WithoutALauncherTheWorldIsOneProcess) {
  const World& world = World::Instance();
  EXPECT_EQ(world.size(), 1);
  EXPECT_EQ(world.rank(), 0);
  EXPECT_EQ(world.Name(), "");
}

// What a rank does; returns its exit code.
int PlayRole(const std::string& role) {
  World& world = World::Start();
  const bool last = world.rank() == world.size() - 1;
  world.communicator().Barrier();
  if (role == "one-fails" && last) world.Abort(4, "the disk of " + world.Name());
  if (role == "all-fail") world.Abort(2, "a wrong setting");
  if (role == "one-is-killed" && last) std::raise(SIGKILL);
  if (role == "one-hangs") {
    world.communicator().SetDeadline(1);
    world.communicator().SetActivity(7, "backward");
    if (last) std::this_thread::sleep_for(std::chrono::seconds(30));
  }
  if (role != "stop") world.communicator().Barrier();
  world.Finalize();
  return 3;
}

}  // namespace
}  // namespace sequela

int main(int argc, char** argv) {
  constexpr const char* kRole = "--as=";
  sequela::g_program = argv[0];
  if (argc > 1 && std::string(argv[1]).starts_with(kRole)) {
    try {
      return sequela::PlayRole(std::string(argv[1]).substr(5));
    } catch (const sequela::InputError& error) {
      std::fprintf(stderr, "%s\n", error.what());
      return 2;
    } catch (const sequela::MachineError& error) {
      sequela::World::Instance().Abort(4, error.what());
    }
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
