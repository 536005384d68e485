// ctest: labels=sanitize
#include "kernels/base/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

// Files may grow to `bytes` only, as on a full disk, for as long as this lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &saved_);
    const rlimit limit{bytes, saved_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &saved_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit saved_{};
  void (*handler_)(int);
};

class AtomicFileTest : public ::testing::Test {
 protected:
  AtomicFileTest() {
    std::string pattern = (fs::temp_directory_path() / "sequela-atomic-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~AtomicFileTest() override { fs::remove_all(folder_); }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      names.push_back(fs::relative(entry.path(), folder_).string());
    }
    return names;
  }
  static mode_t ModeOf(const fs::path& path) {
    struct stat facts {};
    ::stat(path.c_str(), &facts);
    return facts.st_mode & 0777U;
  }

  fs::path folder_;
};

TEST_F(AtomicFileTest, WritesAndReplaces) {
  const fs::path path = folder_ / "state.json";
  WriteFileAtomically(path, "first, and longer");
  WriteFileAtomically(path, std::string_view("a\0b", 3));
  EXPECT_EQ(ReadFile(path), std::string("a\0b", 3));
  EXPECT_EQ(ModeOf(path), 0600U);
  EXPECT_EQ(Names(), std::vector<std::string>{"state.json"});
}

TEST_F(AtomicFileTest, AnEmptyFileReadsAsEmpty) {
  WriteFileAtomically(folder_ / "empty", "");
  EXPECT_EQ(ReadFile(folder_ / "empty"), "");
}

TEST_F(AtomicFileTest, AFullDiskLeavesTheOldFileAndNothingElse) {
  const fs::path path = folder_ / "state.json";
  WriteFileAtomically(path, "old");
  {
    const FileSizeLimit limit(1000);
    EXPECT_THROW(WriteFileAtomically(path, std::string(5000, 'x')), MachineError);
  }
  EXPECT_EQ(ReadFile(path), "old");
  EXPECT_EQ(Names(), std::vector<std::string>{"state.json"});
}

TEST_F(AtomicFileTest, FailuresNameThePath) {
  const fs::path path = folder_ / "no" / "such" / "folder.json";
  try {
    WriteFileAtomically(path, "text");
    FAIL() << "written into a folder that does not exist";
  } catch (const MachineError& error) {
    EXPECT_NE(std::string(error.what()).find(path.string()), std::string::npos) << error.what();
  }
  EXPECT_THROW(ReadFile(path), InputError);
  EXPECT_THROW(SyncPath(path), MachineError);
}

TEST_F(AtomicFileTest, AFolderAppearsWholeOnCommit) {
  const fs::path final_folder = folder_ / "store";
  PartialFolder partial(final_folder);
  fs::create_directory(partial.folder() / "inner");
  std::ofstream(partial.folder() / "inner" / "data") << "content";
  EXPECT_EQ(ModeOf(partial.folder()), 0700U);
  EXPECT_FALSE(fs::exists(final_folder));
  partial.Commit();
  EXPECT_EQ(ReadFile(final_folder / "inner" / "data"), "content");
  EXPECT_FALSE(fs::exists(partial.folder()));
}

TEST_F(AtomicFileTest, WithoutCommitNothingStays) {
  {
    const PartialFolder partial(folder_ / "store");
    std::ofstream(partial.folder() / "data") << "content";
  }
  EXPECT_TRUE(Names().empty());
}

TEST_F(AtomicFileTest, WhatAnInterruptedRunLeftIsRemoved) {
  const pid_t child = ::fork();
  if (child == 0) {
    const PartialFolder partial(folder_ / "store");
    std::ofstream(partial.folder() / "old") << "half";
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  ASSERT_TRUE(fs::exists(folder_ / "store.partial" / "old"));
  PartialFolder partial(folder_ / "store");
  EXPECT_NE(partial.takeover().find(std::to_string(child)), std::string::npos);
  partial.Commit();
  EXPECT_EQ(Names(), std::vector<std::string>{"store"});
}

TEST_F(AtomicFileTest, WhatSomebodyElseMadeIsNotRemoved) {
  fs::create_directory(folder_ / "store.partial");
  std::ofstream(folder_ / "store.partial" / "thesis") << "mine";
  EXPECT_THROW(PartialFolder(folder_ / "store"), InputError);
  EXPECT_EQ(ReadFile(folder_ / "store.partial" / "thesis"), "mine");
  std::ofstream(folder_ / "state.json.partial") << "mine";
  WriteFileAtomically(folder_ / "state.json", "ours");
  EXPECT_EQ(ReadFile(folder_ / "state.json.partial"), "mine");
}

TEST_F(AtomicFileTest, ASecondWriterIsRefusedAndTheFirstGoesOn) {
  PartialFolder first(folder_ / "store");
  std::ofstream(first.folder() / "data") << "content";
  EXPECT_THROW(PartialFolder(folder_ / "store"), InputError);
  first.Commit();
  EXPECT_EQ(ReadFile(folder_ / "store" / "data"), "content");
}

TEST_F(AtomicFileTest, WhoWasTakenForGoneCompletesAndRemovesNothing) {
  auto slow = std::make_unique<PartialFolder>(folder_ / "store");
  const fs::path partial = slow->folder();
  // Another process, which could not see the first, takes the folder over.
  fs::remove_all(partial);
  PartialFolder other(folder_ / "store");
  EXPECT_NE(other.work_name(), slow->work_name());
  std::ofstream(other.folder() / "data") << "content";
  EXPECT_THROW(slow->Commit(), MachineError);
  slow.reset();
  other.Commit();
  EXPECT_EQ(ReadFile(folder_ / "store" / "data"), "content");
}

TEST_F(AtomicFileTest, SlashesAtTheEndOfANameChangeNothing) {
  PartialFolder partial(folder_ / "store/");
  EXPECT_EQ(partial.folder(), folder_ / "store.partial");
  partial.Commit();
  EXPECT_EQ(Names(), std::vector<std::string>{"store"});
}

TEST_F(AtomicFileTest, ALinkIsReplacedAndNotFollowed) {
  std::ofstream(folder_ / "elsewhere") << "theirs";
  fs::create_symlink(folder_ / "elsewhere", folder_ / "state.json");
  WriteFileAtomically(folder_ / "state.json", "ours");
  EXPECT_EQ(ReadFile(folder_ / "elsewhere"), "theirs");
  EXPECT_EQ(ReadFile(folder_ / "state.json"), "ours");
}

TEST_F(AtomicFileTest, ModesDoNotDependOnTheUmask) {
  for (const mode_t mask : {0000U, 0777U}) {
    const mode_t before = ::umask(mask);
    WriteFileAtomically(folder_ / "state.json", "text");
    {
      const PartialFolder partial(folder_ / "store");
      EXPECT_EQ(ModeOf(partial.folder()), 0700U);
    }
    ::umask(before);
    EXPECT_EQ(ModeOf(folder_ / "state.json"), 0600U);
  }
}

TEST_F(AtomicFileTest, AnExistingFolderIsNotTouched) {
  fs::create_directory(folder_ / "store");
  EXPECT_THROW(PartialFolder(folder_ / "store"), InputError);
  EXPECT_EQ(Names(), std::vector<std::string>{"store"});
}

}  // namespace
}  // namespace sequela
