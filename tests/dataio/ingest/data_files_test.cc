// ctest: labels=sanitize timeout=60
// What is read below data/, what is skipped and said, what is refused.
#include "dataio/ingest/reading/data_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "dataio/ingest/reading/source_files.h"
#include "dataio/ingest/splits.h"
#include "tests/testing/message_of.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MessageOf;
using ::testing::StartsWith;

class DataFilesTest : public ::testing::Test {
 protected:
  fs::path data() const { return root_ / "meds" / "data"; }
  void Add(const fs::path& file, const std::string& content = "") {
    fs::create_directories((data() / file).parent_path());
    std::ofstream(data() / file) << content;
  }
  void Link(const fs::path& target, const fs::path& link) {
    fs::create_directories((data() / link).parent_path());
    fs::create_symlink(target, data() / link);
  }
  DataFiles Find() const { return FindDataFiles(data(), "data/"); }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const SourceFile& file : Find().files) names.push_back(file.relative);
    return names;
  }
  std::string Refusal() const {
    return MessageOf([&] { FindDataFiles(data(), "data/"); });
  }
  testing::TempFolder root_;
};

TEST_F(DataFilesTest, ParquetInFoldersOfAnyDepthIsRead) {
  Add("train/0.parquet");
  Add("train/a/b/1.PARQUET");
  Add("x.parquet");
  EXPECT_THAT(Names(),
              ElementsAre("data/train/0.parquet", "data/train/a/b/1.PARQUET", "data/x.parquet"));
  EXPECT_THAT(Find().skipped, IsEmpty());
}

TEST_F(DataFilesTest, WhatOtherProgramsWriteBesideTheDataIsSkippedAndListed) {
  Add("train/0.parquet");
  for (const char* file : {"train/.ipynb_checkpoints/0.parquet", ".snapshot/train/0.parquet",
                           "_temporary/0/0.parquet", "train/_SUCCESS", "train/.0.parquet.crc",
                           "train/_copy.parquet", "lost+found/x.parquet", "README.md"}) {
    Add(file);
  }
  EXPECT_THAT(Names(), ElementsAre("data/train/0.parquet"));
  EXPECT_THAT(
      Find().skipped,
      ElementsAre(StartsWith("data/.snapshot: "), StartsWith("data/README.md: "),
                  StartsWith("data/_temporary: "), StartsWith("data/lost+found: "),
                  StartsWith("data/train/.0.parquet.crc: "),
                  StartsWith("data/train/.ipynb_checkpoints: "),
                  StartsWith("data/train/_SUCCESS: "), StartsWith("data/train/_copy.parquet: ")));
}

TEST_F(DataFilesTest, ParquetUnderAnotherEndingIsRefused) {
  Add("train/0.parquet");
  Add("train/1.parq", "PAR1 and more");
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("1.parq"), HasSubstr("does not end in .parquet")));
}

TEST_F(DataFilesTest, LinksAreFollowedAndRefusedWhereTheyLeadNowhere) {
  std::ofstream(root_ / "elsewhere") << "";
  Link(root_ / "elsewhere", "train/0.parquet");
  EXPECT_THAT(Names(), ElementsAre("data/train/0.parquet"));
  Link("gone/1.parquet", "train/1.parquet");
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("1.parquet"), HasSubstr("leads nowhere")));
  fs::remove(data() / "train/1.parquet");
  Link("gone", "held_out");  // a folder that is not mounted
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("held_out"), HasSubstr("leads nowhere")));
  fs::remove(data() / "held_out");
  Link("itself", "itself");
  EXPECT_THAT(Refusal(), HasSubstr("itself"));
}

TEST_F(DataFilesTest, NothingIsReadTwice) {
  Add("train/0.parquet");
  for (const auto& [target, link] :
       {std::pair(".", "self"), std::pair("..", "train/up"), std::pair("train", "again")}) {
    Link(target, link);
    EXPECT_THAT(Refusal(), AllOf(HasSubstr("is the same as"), HasSubstr("Remove"))) << link;
    fs::remove(data() / link);
  }
  Link("0.parquet", "train/latest.parquet");
  EXPECT_THAT(Refusal(), HasSubstr("latest.parquet: is the same as"));
}

TEST_F(DataFilesTest, PipesAreNoInput) {
  Add("train/0.parquet");
  ASSERT_EQ(::mkfifo((data() / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(Find().skipped, ElementsAre("data/pipe: no regular file"));
  ASSERT_EQ(::mkfifo((data() / "train/1.parquet").c_str(), 0600), 0);
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("1.parquet"), HasSubstr("no regular file")));
}

TEST_F(DataFilesTest, FoldersThatMayNotBeReadAreRefused) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads every folder";
  Add("train/0.parquet");
  fs::permissions(data() / "train", fs::perms::none);
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("train"), HasSubstr("cannot be read")));
  fs::permissions(data() / "train", fs::perms::owner_all);
}

TEST_F(DataFilesTest, NamesMustBeUtf8) {
  Add("train/\xff.parquet");
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("\\xff.parquet"), HasSubstr("UTF-8")));
}

TEST_F(DataFilesTest, MetadataThatLeadsNowhereIsNotTakenAsAbsent) {
  Add("train/0.parquet");
  const fs::path metadata = root_ / "meds" / "metadata";
  for (const char* name : {"subject_splits.parquet", "codes.parquet", "dataset.json"}) {
    fs::create_directories(metadata);
    fs::create_symlink("gone", metadata / name);
    EXPECT_THAT(MessageOf([&] { FindSource(root_ / "meds"); }), HasSubstr(name));
    fs::remove_all(metadata);
  }
  fs::create_symlink("gone", metadata);
  EXPECT_THAT(MessageOf([&] { FindSource(root_ / "meds"); }), HasSubstr("metadata"));
}

TEST_F(DataFilesTest, ADataFolderThatLeadsNowhereIsRefused) {
  fs::create_directories(root_ / "meds");
  std::ofstream(root_ / "meds" / "x.parquet") << "";
  fs::create_symlink("gone", data());
  EXPECT_THAT(MessageOf([&] { FindSource(root_ / "meds"); }), HasSubstr("leads nowhere"));
}

TEST(SplitOfPathTest, FoldersAndFilesAreCalledAfterTheirSplit) {
  for (const char* path :
       {"train/0.parquet", "split=train/p.parquet", "train.parquet", "train.parquet/part-0.parquet",
        "TRAIN/0.parquet", "x/train/y/0.parquet", "train-00000-of-00005.parquet", "train_0.parquet",
        "train/train_3.parquet", "year=2020/split=train/0.parquet"}) {
    EXPECT_EQ(SplitOfPath(path), Split::kTrain) << path;
  }
  for (const char* path : {"tuning/0.parquet", "val/0.parquet", "validation.parquet",
                           "split=val/0.parquet", "dev-1.parquet", "tuning_12.parquet"}) {
    EXPECT_EQ(SplitOfPath(path), Split::kTuning) << path;
  }
  for (const char* path : {"held_out/0.parquet", "held_out.parquet", "held_out_0.parquet",
                           "test/0.parquet", "split=test/x.parquet", "held-out.parquet"}) {
    EXPECT_EQ(SplitOfPath(path), Split::kHeldOut) << path;
  }
  for (const char* path : {"0.parquet", "a/b.parquet", "training_notes.parquet",
                           "test_results.parquet", "trains/0.parquet", "x=train/0.parquet"}) {
    EXPECT_EQ(SplitOfPath(path), std::nullopt) << path;
  }
}

TEST(SplitOfPathTest, TwoSplitsOrAnUnknownOneAreRefused) {
  EXPECT_THAT(MessageOf([] { SplitOfPath("train/held_out/0.parquet"); }),
              AllOf(HasSubstr("train"), HasSubstr("held_out")));
  EXPECT_THAT(MessageOf([] { SplitOfPath("train/test_0.parquet"); }), HasSubstr("two splits"));
  EXPECT_THAT(MessageOf([] { SplitOfPath("split=trian/0.parquet"); }), HasSubstr("split=trian"));
}

TEST(PathsSaySplitsTest, AFileWhoseSplitIsUnknownBesideOthersIsRefused) {
  SourceDataset dataset;
  dataset.files = {{"", "data/a.parquet", std::nullopt}, {"", "data/b.parquet", std::nullopt}};
  EXPECT_FALSE(PathsSaySplits(dataset, false));
  dataset.files.push_back({"", "data/train/0.parquet", Split::kTrain});
  EXPECT_THAT(MessageOf([&] { PathsSaySplits(dataset, false); }),
              AllOf(HasSubstr("data/a.parquet"), HasSubstr("data/train/0.parquet")));
  EXPECT_TRUE(PathsSaySplits(dataset, true));
  dataset.files.erase(dataset.files.begin(), dataset.files.begin() + 2);
  EXPECT_TRUE(PathsSaySplits(dataset, false));
}

}  // namespace
}  // namespace sequela
