// ctest: timeout=200
// Checkpoints of one process: whole or not there, whatever interrupts the writing; damage is
// noticed.
#include "runtime/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "tests/runtime/toy_training.h"
#include "tests/testing/temp_folder.h"

namespace {

// The process ends before the n-th call that changes the disk. Negative: never.
std::atomic<int> g_calls_left = -1;

void CountCall() {
  if (g_calls_left >= 0 && g_calls_left-- == 0) ::_exit(99);
}

}  // namespace

// These take the place of the C library's for everything in this program.
extern "C" {
ssize_t write(int fd, const void* data, size_t size) {
  CountCall();
  return ::syscall(SYS_write, fd, data, size);
}
int fsync(int fd) {
  CountCall();
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
int rename(const char* from, const char* to) noexcept {
  CountCall();
  return static_cast<int>(::syscall(SYS_rename, from, to));
}
int mkdir(const char* path, mode_t mode) noexcept {
  CountCall();
  return static_cast<int>(::syscall(SYS_mkdir, path, mode));
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  CountCall();
  return static_cast<int>(::syscall(SYS_unlinkat, folder, path, flags));
}
}

namespace sequela {
namespace {

namespace fs = std::filesystem;
using testing::MaxDifference;
using testing::ToyTraining;

class CheckpointTest : public ::testing::Test {
 protected:
  fs::path Folder() const { return folder_ / "checkpoints"; }
  fs::path Step(std::int64_t step) const { return Folder() / CheckpointName(step); }

  // A run that has done `steps` steps.
  std::unique_ptr<ToyTraining> Train(std::int64_t steps) {
    auto training = std::make_unique<ToyTraining>(*alone_, 1);
    for (std::int64_t step = 0; step < steps; ++step) training->Step(step);
    return training;
  }

  void Save(ToyTraining& training, std::int64_t step, std::int64_t keep_last = 1) {
    CheckpointWriter writer(training.optimizer, *alone_,
                            {.folder = Folder(), .keep_last = keep_last});
    writer.Start(
        {.step = step, .trainer_state = R"({"rows":5})", .text_files = {{"config.json", "{}\n"}}});
    writer.Finish();
  }

  // The newest checkpoint holds exactly what training to its step gives; returns that step.
  std::int64_t ExpectNewestIsRight() {
    const auto found = FindCheckpoint(Folder());
    if (!found) return -1;
    ToyTraining restored(*alone_, 1);
    RestoreCheckpoint(*found, restored.optimizer);
    const auto expected = Train(found->step);
    EXPECT_EQ(MaxDifference(restored.Parameters(), expected->Parameters()), 0.0);
    EXPECT_EQ(found->num_updates, found->step);
    return found->step;
  }

  void Damage(const fs::path& file, std::int64_t at) {
    std::string text = ReadFile(file);
    text.at(static_cast<std::size_t>(at < 0 ? std::ssize(text) + at : at)) ^= 1;
    std::ofstream(file, std::ios::binary) << text;
  }

  std::unique_ptr<Communicator> alone_ = MakeSelfCommunicator();
  testing::TempFolder folder_;
};

TEST_F(CheckpointTest, NoneIsFoundWhereNoneIs) {
  EXPECT_FALSE(FindCheckpoint(Folder()).has_value());
  fs::create_directories(Folder() / "step-00000007.partial");
  fs::create_directories(Folder() / "step-banana");
  EXPECT_FALSE(FindCheckpoint(Folder()).has_value());
}

TEST_F(CheckpointTest, AProcessThatDiesAtAnyWriteLeavesTheOldOrTheNewWhole) {
  Save(*Train(1), 1);
  const auto training = Train(2);
  bool finished = false;
  std::string newest;  // after each interruption
  for (int calls = 0; !finished && calls < 500; ++calls) {
    const pid_t child = ::fork();
    if (child == 0) {
      g_calls_left = calls;
      Save(*training, 2);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    finished = WEXITSTATUS(status) == 0;
    ASSERT_TRUE(finished || WEXITSTATUS(status) == 99) << WEXITSTATUS(status);
    const std::int64_t step = ExpectNewestIsRight();
    ASSERT_TRUE(step == 1 || step == 2) << "interrupted before call " << calls << ": " << step;
    newest += static_cast<char>('0' + step);
    if (step == 2) {
      // The next interruption begins from the same place.
      fs::remove_all(Folder());
      Save(*Train(1), 1);
    }
  }
  EXPECT_TRUE(finished);
  EXPECT_GT(newest.find('2'), 8U) << newest << ": too few points were tried";
  EXPECT_TRUE(std::is_sorted(newest.begin(), newest.end())) << newest;
}

TEST_F(CheckpointTest, DamageIsNamedAndTheOneBeforeIsTaken) {
  const auto one = Train(1);
  const auto two = Train(2);
  const char* files[] = {"model.safetensors", "optimizer-rank-00000-of-00001.safetensors",
                         "config.json", "state.json"};
  for (const char* file : files) {
    for (const char* how : {"flip first", "flip last", "truncate", "remove"}) {
      fs::remove_all(Folder());
      Save(*one, 1, 2);
      Save(*two, 2, 2);
      const fs::path path = Step(2) / file;
      if (std::string(how) == "remove") fs::remove(path);
      if (std::string(how) == "truncate") fs::resize_file(path, fs::file_size(path) / 2);
      if (std::string(how) == "flip first") Damage(path, 0);
      if (std::string(how) == "flip last") Damage(path, -3);
      const auto found = FindCheckpoint(Folder());
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(found->step, 1) << how << " of " << file;
      ASSERT_EQ(found->skipped.size(), 1U);
      EXPECT_NE(found->skipped[0].find(path.string()), std::string::npos) << found->skipped[0];
    }
  }
  EXPECT_EQ(ExpectNewestIsRight(), 1);
  Save(*two, 2);  // in place of the damaged one
  EXPECT_EQ(ExpectNewestIsRight(), 2);
}

TEST_F(CheckpointTest, WhereAllAreDamagedItRefusesInsteadOfBeginningAnew) {
  Save(*Train(1), 1);
  fs::remove(Step(1) / "model.safetensors");
  try {
    FindCheckpoint(Folder());
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("model.safetensors"), std::string::npos)
        << error.what();
  }
}

TEST_F(CheckpointTest, FilesThatStateJsonDoesNotListAreIgnored) {
  Save(*Train(1), 1);
  std::ofstream(Step(1) / "notes.txt") << "mine";
  std::ofstream(Step(1) / "optimizer-rank-00001-of-00002.safetensors") << "stray";
  EXPECT_EQ(ExpectNewestIsRight(), 1);
}

TEST_F(CheckpointTest, AFullDiskIsAMachineErrorAndTheOldOneStands) {
  Save(*Train(1), 1);
  const auto two = Train(2);
  struct rlimit before {};
  ::getrlimit(RLIMIT_FSIZE, &before);
  auto* const previous = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t limit : {rlim_t{0}, rlim_t{300}, rlim_t{30000}}) {
    const struct rlimit small = {limit, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
    EXPECT_THROW(Save(*two, 2), MachineError) << limit;
    ::setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_FALSE(fs::exists(Step(2)));
    EXPECT_EQ(ExpectNewestIsRight(), 1);
  }
  std::signal(SIGXFSZ, previous);
  Save(*two, 2);
  EXPECT_EQ(ExpectNewestIsRight(), 2);
  EXPECT_FALSE(fs::exists(Step(2).string() + ".partial"));
}

TEST_F(CheckpointTest, KeepsTheLastTheEveryNthAndTheBest) {
  ToyTraining training(*alone_, 0);
  CheckpointWriter writer(training.optimizer, *alone_,
                          {.folder = Folder(), .keep_last = 2, .keep_every = 4});
  for (std::int64_t step = 1; step <= 9; ++step) {
    training.Step(step - 1);
    writer.Start({.step = step, .best_step = step < 6 ? 1 : 6, .trainer_state = "{}"});
  }
  writer.Finish();
  std::string kept;
  for (std::int64_t step = 1; step <= 9; ++step) kept += fs::exists(Step(step)) ? '1' : '0';
  EXPECT_EQ(kept, "000101011") << "4 and 8 by number, 6 as the best, 8 and 9 as the last";
  EXPECT_EQ(FindCheckpoint(Folder())->best_step, 6);
  EXPECT_GT(writer.TakeWaitSeconds(), 0.0);
  EXPECT_EQ(writer.TakeWaitSeconds(), 0.0);
}

TEST_F(CheckpointTest, RefusesAnotherModelByTheParametersName) {
  Save(*Train(1), 1);
  ParameterTable table;
  table.AddVector("norm.weight", 48);
  table.AddMatrix("q.weight", 48, 40);
  FlatBuffers buffers(table, DType::kFloat32);
  const BucketPlan plan(table.num_elements(), 4096, 1);
  ShardedOptimizer optimizer(buffers, plan, *alone_, {});
  try {
    RestoreCheckpoint(*FindCheckpoint(Folder()), optimizer);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("found q.weight [48, 48] where q.weight [48, 40]"),
              std::string::npos)
        << error.what();
  }
}

TEST_F(CheckpointTest, AReadOnlyPlaceIsTheUsersError) {
  std::ofstream(folder_ / "file") << "x";
  ToyTraining training(*alone_, 0);
  EXPECT_THROW(CheckpointWriter(training.optimizer, *alone_, {.folder = folder_ / "file" / "c"}),
               InputError);
}

}  // namespace
}  // namespace sequela
