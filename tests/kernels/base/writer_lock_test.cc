// ctest: labels=sanitize
#include "kernels/base/writer_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "kernels/base/atomic_file.h"
#include "kernels/base/process_identity.h"
#include "tests/testing/message_of.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

class WriterLockTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const char* name : {"SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT"}) {
      ::unsetenv(name);
    }
  }
  std::unique_ptr<WriterLock> Take() const { return WriterLock::Take(folder_.path(), "the run"); }
  std::string Refusal() const {
    return testing::MessageOf([&] { Take(); });
  }
  fs::path File() const { return folder_ / WriterLock::kFileName; }
  // A lock file that says this holder, whom no kernel lock backs.
  void LeaveLockOf(const ProcessIdentity& holder) const { std::ofstream(File()) << ToText(holder); }
  static ProcessIdentity SomebodyElsewhere() {
    ProcessIdentity other = ThisProcess();
    other.host = "another-host";
    other.boot_id = "another-kernel";
    return other;
  }

  testing::TempFolder folder_;
};

TEST_F(WriterLockTest, ItsFileIsThereWhileItIsHeld) {
  auto lock = Take();
  EXPECT_EQ(lock->takeover(), "");
  EXPECT_TRUE(WriterLock::IsMarked(folder_.path()));
  lock.reset();
  EXPECT_TRUE(fs::is_empty(folder_.path()));
  EXPECT_EQ(Take()->takeover(), "");
}

TEST_F(WriterLockTest, ASecondHolderIsRefusedAndToldWhoHoldsIt) {
  const auto lock = Take();
  const std::string refusal = Refusal();
  const ProcessIdentity me = ThisProcess();
  EXPECT_NE(refusal.find(std::to_string(me.pid)), std::string::npos) << refusal;
  EXPECT_NE(refusal.find(me.host), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("since"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find(File().string()), std::string::npos) << refusal;
}

TEST_F(WriterLockTest, WhatAKilledProcessHeldIsTakenOver) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = Take();
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  ASSERT_TRUE(fs::exists(File()));
  const auto lock = Take();
  EXPECT_NE(lock->takeover().find(std::to_string(child)), std::string::npos) << lock->takeover();
  EXPECT_NE(Refusal(), "accepted");
}

TEST_F(WriterLockTest, AnotherProcessOfTheSameNumberIsNotTheHolder) {
  ProcessIdentity earlier = ThisProcess();
  earlier.start_ticks -= 1;
  LeaveLockOf(earlier);
  EXPECT_NE(Take()->takeover(), "");
}

TEST_F(WriterLockTest, AHolderOnAnotherHostCountsAsThere) {
  LeaveLockOf(SomebodyElsewhere());
  EXPECT_NE(Refusal().find("another-host"), std::string::npos) << Refusal();
}

TEST_F(WriterLockTest, AnEarlierStartOfTheSameSlurmJobIsTakenOver) {
  ProcessIdentity earlier = SomebodyElsewhere();
  earlier.slurm_job = "77";
  earlier.slurm_task = "3";
  earlier.slurm_restart = 1;
  LeaveLockOf(earlier);
  ::setenv("SLURM_JOB_ID", "77", 1);
  ::setenv("SLURM_ARRAY_TASK_ID", "3", 1);
  ::setenv("SLURM_RESTART_COUNT", "1", 1);
  EXPECT_NE(Refusal(), "accepted") << "the same start: its other node";
  ::setenv("SLURM_RESTART_COUNT", "2", 1);
  ::setenv("SLURM_ARRAY_TASK_ID", "4", 1);
  EXPECT_NE(Refusal(), "accepted") << "another task of the array";
  ::setenv("SLURM_ARRAY_TASK_ID", "3", 1);
  EXPECT_NE(Take()->takeover().find("earlier start"), std::string::npos);
}

TEST_F(WriterLockTest, AFileOrLinkThatIsNoLockIsLeftAlone) {
  std::ofstream(File()) << "a note of somebody's";
  EXPECT_NE(Refusal(), "accepted");
  EXPECT_EQ(ReadFile(File()), "a note of somebody's");
  fs::remove(File());
  fs::create_symlink(folder_ / "elsewhere", File());
  EXPECT_NE(Refusal(), "accepted");
  EXPECT_FALSE(fs::exists(folder_ / "elsewhere"));
}

TEST_F(WriterLockTest, AFolderThatIsNotThereHasNoLock) {
  EXPECT_EQ(WriterLock::Take(folder_ / "absent", "the run"), nullptr);
}

TEST_F(WriterLockTest, AnIdentityReadsBackAndACutOneDoesNot) {
  const std::string text = ToText(SomebodyElsewhere());
  EXPECT_EQ(ToText(*ProcessIdentityFromText(text)), text);
  EXPECT_FALSE(ProcessIdentityFromText(text.substr(0, text.size() / 2)));
  EXPECT_FALSE(ProcessIdentityFromText(""));
}

}  // namespace
}  // namespace sequela
