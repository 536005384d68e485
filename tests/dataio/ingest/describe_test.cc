// ctest: labels=sanitize timeout=60 arrow
// A dataset small enough to count by hand.
#include "dataio/ingest/describe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/meds_records.h"

namespace sequela {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::MedsRecords;
using ::testing::Pair;

constexpr std::int64_t kSecond = MedsRecords::kSecond;
constexpr std::int64_t kDay = MedsRecords::kDay;

class DescribeTest : public ::testing::Test {
 protected:
  DatasetDescription Describe() { return DescribeDataset(records_.Write()); }
  MedsRecords records_;
};

TEST_F(DescribeTest, EventsAreCountedBySplitAndKind) {
  records_.Event(1, kStaticTime, "GENDER//F").Event(1, -kDay, "MEDS_BIRTH");
  records_.Event(1, kDay, "LAB", 1.5F).Event(1, kDay, "NOTE", MedsFileWriter::kNoValue, "well");
  records_.Event(1, 2 * kDay, "MEDS_DEATH").Event(2, kDay, "LAB", 2.0F);
  records_.InFile("held_out/0.parquet").Event(3, kDay, "LAB");
  const DatasetDescription d = Describe();
  EXPECT_EQ(d.files, 2);
  const auto& train = d.parts[0];
  EXPECT_EQ(train.subjects, 2);
  EXPECT_EQ(train.events, 6);
  EXPECT_EQ(train.static_events, 1);
  EXPECT_EQ(train.with_value, 2);
  EXPECT_EQ(train.text_only, 1);
  EXPECT_EQ(train.births, 1);
  EXPECT_EQ(train.deaths, 1);
  EXPECT_EQ(train.codes, 5);
  EXPECT_EQ(train.time_stamps, 3);  // of subject 1 two, without its birth; of subject 2 one
  EXPECT_EQ(d.parts[1].subjects, 0);
  EXPECT_EQ(d.parts[2].subjects, 1);
  EXPECT_EQ(d.parts[2].events, 1);
  EXPECT_EQ(d.codes, 5);
  EXPECT_EQ(d.codes_once, 4);  // all but LAB
  EXPECT_THAT(d.commonest.front(), Pair("LAB", 3));
  EXPECT_THAT(d.events_per_subject, ElementsAre(1, 1, 1, 1, 5));
  EXPECT_THAT(d.skipped, IsEmpty());
}

TEST_F(DescribeTest, GapsAreDecilesOfTheTimesBetween) {
  std::int64_t time = 0;
  records_.Event(1, time, "A");
  for (const std::int64_t seconds : {10, 20, 30, 40, 50, 60, 70, 80, 90, 100}) {
    time += seconds * kSecond;
    records_.Event(1, time, "A").Event(1, time, "B");
  }
  EXPECT_THAT(Describe().gap_deciles, ElementsAre(10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100));
}

// 9,998 years apart: as far as times may lie.
TEST_F(DescribeTest, TheLongestGapIsCounted) {
  records_.Event(1, -62'135'596'800 * kSecond, "A").Event(1, 253'402'300'799 * kSecond, "A");
  constexpr double kGap = 315'537'897'599.0;
  EXPECT_NEAR(Describe().gap_deciles.back(), kGap, kGap / 2048);  // 12 bits of it are kept
}

TEST_F(DescribeTest, SubjectsGoWhereTheListOfSplitsPutsThem) {
  records_.InFile("0.parquet").Event(1, kDay, "A").Event(2, kDay, "A");
  records_.Given(1, Split::kTuning).Given(2, Split::kHeldOut);
  const DatasetDescription d = Describe();
  EXPECT_EQ(d.parts[0].subjects, 0);
  EXPECT_EQ(d.parts[1].subjects, 1);
  EXPECT_EQ(d.parts[2].subjects, 1);
  EXPECT_EQ(d.split_by_hash, 0);
}

}  // namespace
}  // namespace sequela
