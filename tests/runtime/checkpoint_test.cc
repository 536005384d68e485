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
#include <cmath>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <thread>

#include "kernels/base/atomic_file.h"
#include "kernels/base/errors.h"
#include "runtime/checkpoint/state_file.h"
#include "runtime/safetensors_writer.h"
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
using testing::ToyTable;
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

// One wrong bit of state.json, wherever it is, never keeps the older checkpoint from being found.
TEST_F(CheckpointTest, NoDamageOfStateJsonHidesTheOneBefore) {
  Save(*Train(1), 1, 2);
  Save(*Train(2), 2, 2);
  const std::string whole = ReadFile(Step(2) / "state.json");
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const int flip : {0x01, 0x02, 0x80}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      std::ofstream(Step(2) / "state.json", std::ios::binary) << damaged;
      const auto found = FindCheckpoint(Folder(), *alone_);
      ASSERT_TRUE(found.has_value());
      // A space that became another is the same JSON.
      const bool same = whole[i] == ' ' || whole[i] == '\n';
      ASSERT_TRUE(found->step == 1 || same) << "byte " << i << " ^ " << flip;
    }
  }
  std::ofstream(Step(2) / "state.json", std::ios::binary) << std::string(100'000, '[');
  EXPECT_EQ(FindCheckpoint(Folder(), *alone_)->step, 1);
}

TEST_F(CheckpointTest, WeightsAreReadWithoutTheOptimizersFiles) {
  Save(*Train(1), 1);
  fs::remove(Step(1) / "optimizer-rank-00000-of-00001.safetensors");
  EXPECT_THROW(FindCheckpoint(Folder()), InputError);
  EXPECT_EQ(FindCheckpoint(Folder(), CheckpointUse::kWeights)->step, 1);
  EXPECT_TRUE(OpenWeights(Step(1)).Has("q.weight"));
  Damage(Step(1) / "model.safetensors", -1);
  EXPECT_THROW(FindCheckpoint(Folder(), CheckpointUse::kWeights), InputError);
}

TEST_F(CheckpointTest, AModelThatStateJsonDoesNotListIsNotRead) {
  ToyTraining training(*alone_, 0);
  {
    CheckpointWriter writer(training.optimizer, *alone_,
                            {.folder = Folder(), .model_file_bytes = 8000});
    writer.Start({.step = 1, .trainer_state = "{}"});
    writer.Finish();
  }
  ASSERT_TRUE(fs::exists(Step(1) / "model.safetensors.index.json"));
  std::ofstream(Step(1) / "model.safetensors") << "somebody else's";
  ToyTraining restored(*alone_, 0);
  restored.Step(0);
  RestoreCheckpoint(*FindCheckpoint(Folder()), restored.optimizer);
  EXPECT_EQ(MaxDifference(restored.Parameters(), training.Parameters()), 0.0);
}

// Reads while the run that writes replaces its only checkpoint again and again.
TEST_F(CheckpointTest, ARunThatIsBeingWrittenIsRead) {
  Save(*Train(1), 1);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    const auto training = Train(1);
    for (std::int64_t step = 2; step < 60; ++step) Save(*training, step);
    done = true;
  });
  std::int64_t last = 0;
  int reads = 0;
  while (!done) {
    const auto found = FindCheckpoint(Folder(), CheckpointUse::kWeights);
    ASSERT_TRUE(found.has_value());
    EXPECT_TRUE(found->skipped.empty()) << found->skipped[0];
    EXPECT_GE(found->step, last);
    last = found->step;
    ++reads;
  }
  writer.join();
  EXPECT_GT(reads, 5);
}

// The optimizer's file of step 1 with other tensors, listed with its right size and CRC.
class OptimizerFileTest : public CheckpointTest {
 protected:
  std::string RefusalOf(std::vector<std::int64_t> runs, std::int64_t elements, float value = 0.5F) {
    fs::remove_all(Folder());
    Save(*Train(1), 1);
    const std::string name = "optimizer-rank-00000-of-00001.safetensors";
    const std::vector<float> moments(static_cast<std::size_t>(elements), value);
    const auto bytes = std::as_bytes(std::span(moments));
    const WrittenFile forged = WriteSafetensors(
        Step(1) / name,
        std::vector<SafetensorsEntry>{
            {"runs", DType::kInt64, {std::ssize(runs) / 2, 2}, std::as_bytes(std::span(runs))},
            {"m", DType::kFloat32, {elements}, bytes},
            {"v", DType::kFloat32, {elements}, bytes}});
    CheckpointState state = ReadState(Step(1));
    for (WrittenFile& file : state.files) {
      if (file.name == name) file = forged;
    }
    WriteText(Step(1) / "state.json", StateToJson(state));
    ToyTraining training(*alone_, 0);
    try {
      RestoreCheckpoint(*FindCheckpoint(Folder()), training.optimizer);
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  }
};

TEST_F(OptimizerFileTest, RunsAreCheckedBeforeAnythingIsCopied) {
  const std::int64_t all = ToyTable().num_elements();
  EXPECT_EQ(RefusalOf({0, all}, all), "accepted");
  EXPECT_EQ(RefusalOf({0, 2048, 2048, all}, all), "accepted");
  const struct {
    std::vector<std::int64_t> runs;
    std::int64_t elements;
    const char* says;
  } cases[] = {
      {{0, 1 << 30}, all, "none of this model's"},
      {{-1024, all}, all, "none of this model's"},
      {{64, 0}, all, "none of this model's"},
      {{0, INT64_MAX}, all, "none of this model's"},
      {{INT64_MIN, 0, 0, all}, all, "none of this model's"},
      {{0, 1000, 1000, all}, all, "none of this model's"},
      {{0, 2048, 1024, all}, all, "none of this model's"},
      {{0, all}, 1024, "tensor m has the shape [1024]"},
      {{0, all}, all + 1024, "tensor m has the shape"},
      {{0, 1024}, 1024, "element 1024 is missing"},
      {{1024, all}, all - 1024, "element 0 is missing"},
      {{}, 0, "element 0 is missing"},
  };
  for (const auto& forged : cases) {
    EXPECT_NE(RefusalOf(forged.runs, forged.elements).find(forged.says), std::string::npos)
        << forged.says << ": " << RefusalOf(forged.runs, forged.elements);
  }
  EXPECT_NE(RefusalOf({0, all}, all, NAN).find("tensor m holds a value that is no finite number"),
            std::string::npos);
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
