// ctest: labels=sanitize;threads timeout=60
// A file system that hangs: a FIFO that nobody reads, where a checkpoint's file should be.
#include "runtime/file_watchdog.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>

#include "runtime/checkpoint.h"
#include "tests/runtime/toy_training.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

using namespace std::chrono_literals;
using testing::ToyTraining;

class FileWatchdogTest : public ::testing::Test {
 protected:
  // What the watchdog said within ten seconds, or "".
  std::string Message() {
    return said_.wait_for(10s) == std::future_status::ready ? said_.get() : "";
  }
  bool IsQuietFor(std::chrono::milliseconds time) {
    return said_.wait_for(time) == std::future_status::timeout;
  }

  std::promise<std::string> promise_;
  std::future<std::string> said_ = promise_.get_future();
  FileWatchdog watchdog_{0.3, [this](const std::string& text) { promise_.set_value(text); }};
};

TEST_F(FileWatchdogTest, NamesWhatMakesNoProgress) {
  const FileWork work(&watchdog_, "writing /runs/a");
  EXPECT_EQ(Message(), "writing /runs/a has made no progress for 0 s: the file system hangs");
}

TEST_F(FileWatchdogTest, IsQuietWhileThereIsProgress) {
  const FileWork work(&watchdog_, "writing /runs/a");
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(IsQuietFor(50ms));
    NoteFileProgress();
  }
}

TEST_F(FileWatchdogTest, IsQuietWhenTheWorkIsDone) {
  { const FileWork work(&watchdog_, "writing /runs/a"); }
  EXPECT_TRUE(IsQuietFor(700ms));
}

TEST_F(FileWatchdogTest, ACheckpointsHangingFileIsNamed) {
  const testing::TempFolder folder;
  const auto alone = MakeSelfCommunicator();
  ToyTraining training(*alone, 1);
  CheckpointWriter writer(training.optimizer, *alone,
                          {.folder = folder / "c", .watchdog = &watchdog_});
  const std::filesystem::path partial = folder / "c" / (CheckpointName(7) + ".partial");
  std::filesystem::create_directory(partial);
  const std::filesystem::path fifo = partial / "model.safetensors";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  writer.Start({.step = 7, .trainer_state = "{}"});
  EXPECT_NE(Message().find(partial.string()), std::string::npos);
  // Lets the writer's thread go: its sync of a pipe fails, and Finish says so.
  const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
  EXPECT_ANY_THROW(writer.Finish());
  ::close(reader);
}

}  // namespace
}  // namespace sequela
