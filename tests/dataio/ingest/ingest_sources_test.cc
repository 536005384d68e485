// ctest: labels=sanitize timeout=120 arrow
// Which files an ingest and a description read, and how their paths split the subjects.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "dataio/ingest/describe.h"
#include "dataio/ingest/splits.h"
#include "tests/testing/meds_records.h"
#include "tests/testing/message_of.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MedsRecords;
using testing::MessageOf;

constexpr std::int64_t kDay = MedsRecords::kDay;

// Four subjects in train, two in tuning, one in held_out, one event each.
class SourcesTest : public ::testing::Test {
 protected:
  // `layout`: a path with S for the split's name.
  void Write(const std::string& layout, const std::array<const char*, 3>& names) {
    const std::array<int, 3> subjects = {4, 2, 1};
    std::int64_t id = 0;
    for (std::size_t split = 0; split < 3; ++split) {
      std::string file = layout;
      file.replace(file.find('S'), 1, names[split]);
      records_.InFile(file);
      for (int i = 0; i < subjects[split]; ++i) records_.Event(++id, kDay, "A");
    }
    records_.Write();
  }
  fs::path data() const { return records_.folder() / "data"; }
  IngestReport Ingest() {
    IngestOptions options;
    options.settings.min_subjects = 1;
    records_.Ingest(options);
    return records_.report;
  }
  std::string Refusal() {
    return MessageOf([&] { Ingest(); });
  }
  MedsRecords records_;
};

class LayoutTest
    : public SourcesTest,
      public ::testing::WithParamInterface<std::pair<const char*, std::array<const char*, 3>>> {};

TEST_P(LayoutTest, SplitsAreReadFromPaths) {
  Write(GetParam().first, GetParam().second);
  const IngestReport report = Ingest();
  EXPECT_THAT(report.subjects, ElementsAre(4, 2, 1));
  EXPECT_EQ(testing::Counted(report, "subjects_split_by_hash"), 0);
  const DatasetDescription description = DescribeDataset(records_.folder());
  for (std::size_t split = 0; split < 3; ++split) {
    EXPECT_EQ(description.parts[split].subjects, report.subjects[split]);
  }
  EXPECT_EQ(description.split_by_hash, 0);
}

constexpr std::array<const char*, 3> kOurs = {"train", "tuning", "held_out"};
constexpr std::array<const char*, 3> kOthers = {"train", "val", "test"};
INSTANTIATE_TEST_SUITE_P(Layouts, LayoutTest,
                         ::testing::Values(std::pair("S/0.parquet", kOurs),
                                           std::pair("S/0.parquet", kOthers),
                                           std::pair("split=S/0.parquet", kOurs),
                                           std::pair("S.parquet", kOurs),
                                           std::pair("S.parquet/part-0.parquet", kOurs),
                                           std::pair("site/S/0.parquet", kOurs),
                                           std::pair("S-00000-of-00001.parquet", kOthers)));

TEST_F(SourcesTest, APathOfTwoSplitsIsRefused) {
  Write("train/S/0.parquet", kOurs);
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("train/held_out/0.parquet"), HasSubstr("two splits")));
  EXPECT_THAT(MessageOf([&] { DescribeDataset(records_.folder()); }), HasSubstr("two splits"));
  IngestOptions options;  // paths say nothing where splits are asked for
  options.settings.min_subjects = 1;
  options.folds = 3;
  records_.Ingest(options);
  EXPECT_EQ(records_.report.total_subjects(), 7);
}

TEST_F(SourcesTest, AStrayFileDoesNotThrowTheFoldersSplitsAway) {
  records_.InFile("x/0.parquet").Event(100, kDay, "A");
  Write("S/0.parquet", kOurs);
  const std::string message = Refusal();
  EXPECT_THAT(message, AllOf(HasSubstr("data/x/0.parquet"), HasSubstr("is not known")));
  EXPECT_EQ(MessageOf([&] { DescribeDataset(records_.folder()); }), message);
}

TEST_F(SourcesTest, AListOfSplitsTellsWhatPathsDoNot) {
  records_.InFile("x/0.parquet").Event(100, kDay, "A").Event(101, kDay, "A");
  records_.Given(100, Split::kHeldOut);
  Write("S/0.parquet", kOurs);
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("x/0.parquet, row 1"), HasSubstr("does not list it")));
  records_.Given(101, Split::kTuning).Write();
  EXPECT_THAT(Ingest().subjects, ElementsAre(4, 3, 2));
}

TEST_F(SourcesTest, SubjectsAreHashedAndCountedWhereNothingSaysTheirSplit) {
  std::array<std::int64_t, 3> expected{};
  records_.InFile("0.parquet");
  for (std::int64_t id = 1; id <= 40; ++id) {
    records_.Event(id, kDay, "A");
    ++expected[static_cast<std::size_t>(HashSplit(id))];
  }
  records_.Write();
  const IngestReport report = Ingest();
  EXPECT_THAT(report.subjects, ElementsAre(expected[0], expected[1], expected[2]));
  EXPECT_EQ(testing::Counted(report, "subjects_split_by_hash"), 40);
  EXPECT_EQ(DescribeDataset(records_.folder()).split_by_hash, 40);
}

TEST_F(SourcesTest, CopiesInHiddenFoldersAreNotReadButReported) {
  Write("S/0.parquet", kOurs);
  for (const char* folder : {"train/.ipynb_checkpoints", ".snapshot/train", "_temporary/0"}) {
    fs::create_directories(data() / folder);
    fs::copy_file(data() / "train/0.parquet", data() / folder / "copy.parquet");
  }
  const auto skipped = ElementsAre(HasSubstr("data/.snapshot: "), HasSubstr("data/_temporary: "),
                                   HasSubstr("data/train/.ipynb_checkpoints: "));
  const IngestReport report = Ingest();
  EXPECT_EQ(report.total_events(), 7);
  EXPECT_THAT(report.skipped, skipped);
  const DatasetDescription description = DescribeDataset(records_.folder());
  EXPECT_EQ(description.parts[0].events, 4);
  EXPECT_THAT(description.skipped, skipped);
}

TEST_F(SourcesTest, NoSubjectLeftIsSaidAsSuch) {
  for (std::int64_t id = 1; id <= 3; ++id) records_.Event(id, kStaticTime, "GENDER//F");
  records_.Write();
  EXPECT_THAT(Refusal(), HasSubstr("no subject is left: 3 have no event with a time"));
}

}  // namespace
}  // namespace sequela
