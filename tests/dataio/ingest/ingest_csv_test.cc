// ctest: labels=sanitize timeout=180 arrow
// Tables to MEDS: what is kept, what is counted as lost and why, and what is refused.
#include "dataio/ingest/ingest_csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/testing/arrow/csv_dataset.h"
#include "tests/testing/arrow/odd_parquet.h"
#include "tests/testing/message_of.h"

namespace sequela {
namespace {

using ::testing::AllOf;
using testing::CsvDataset;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MessageOf;
using ::testing::Not;

// A mapping of the one table `t.csv` with columns id, time and what `more` says; events are coded A
// unless that says another code.
std::string OneTable(const std::string& more = "", const std::string& top = "") {
  const bool coded = more.find("code: ") != std::string::npos;
  return top + "tables:\n  - {file: t.csv, subject: id, time: time" + (coded ? "" : ", code: A") +
         more + "}\n";
}

std::int64_t Lost(const IngestCsvReport& report, Loss loss) {
  return report.tables.at(0).lost[loss];
}

// `count` rows that are all right, of subjects 1000 and on.
std::string GoodRows(int count) {
  std::string rows;
  for (int i = 0; i < count; ++i) rows += std::to_string(1000 + i) + ",2020-01-01\n";
  return rows;
}

TEST(IngestCsvTest, EventsHaveTheirTimesCodesValuesAndTexts) {
  CsvDataset data;
  data.Table("t.csv",
             "id,time,item,v\n2,2020-03-01 08:30,K,4.5\n1,2020-03-02,GLU, low \n2,,SEX,F\n");
  const IngestCsvReport report =
      data.Ingest(OneTable(", code: \"LAB//{item}\", value: v, empty_time: static"));
  EXPECT_THAT(data.Rows(), ElementsAre("1 2020-03-02 00:00:00 LAB//GLU -  low ", "2 - LAB//SEX - F",
                                       "2 2020-03-01 08:30:00 LAB//K 4.5 -"));
  EXPECT_EQ(report.tables.at(0).events, 3);
  EXPECT_EQ(report.tables.at(0).lost.total(), 0);
  EXPECT_EQ(report.num_codes, 3);
}

TEST(IngestCsvTest, IdsOfOneSubjectInDifferentTablesMeet) {
  CsvDataset data;
  data.Table("t.csv", "id,time\n7.0,2020-01-01\n+8,2020-01-02\n 9 ,2020-01-03\n");
  data.Table("u.csv", "id,time\n7,2020-02-01\n8,2020-02-02\n9.00,2020-02-03\n");
  const auto report =
      data.Ingest(OneTable() + "  - {file: u.csv, subject: id, time: time, code: B}\n");
  EXPECT_EQ(report.subjects[0] + report.subjects[1] + report.subjects[2], 3);
  EXPECT_THAT(data.Rows(),
              ElementsAre("7 2020-01-01 00:00:00 A - -", "7 2020-02-01 00:00:00 B - -",
                          "8 2020-01-02 00:00:00 A - -", "8 2020-02-02 00:00:00 B - -",
                          "9 2020-01-03 00:00:00 A - -", "9 2020-02-03 00:00:00 B - -"));
}

TEST(IngestCsvTest, RowsWithoutASubjectAreLostAndNoPatients) {
  CsvDataset data;
  data.Table("t.csv", "id,time\n1,2020-01-01\n,2020-01-01\nNULL,2020-01-01\nnan,2020-01-01\n");
  EXPECT_THAT(data.Refusal(OneTable()), AllOf(HasSubstr("3 of 4 rows have no subject"),
                                              HasSubstr("allow_lost: [no_subject]")));
  const auto report = data.Ingest(OneTable(", allow_lost: no_subject"));
  EXPECT_EQ(Lost(report, Loss::kNoSubject), 3);
  EXPECT_THAT(data.Rows(), ElementsAre("1 2020-01-01 00:00:00 A - -"));
}

TEST(IngestCsvTest, TwoTextsThatBecomeOneSubjectAreRefused) {
  CsvDataset data;
  data.Table("t.csv", "id,time\n7,2020-01-01\n007,2020-01-02\n");
  EXPECT_THAT(data.Refusal(OneTable()), AllOf(HasSubstr("t.csv, line 3"), HasSubstr("same subject"),
                                              Not(HasSubstr(" 007.")), Not(HasSubstr("2020"))));
  data.Table("t.csv", "id,time\n1.5,2020-01-01\n");
  EXPECT_THAT(data.Refusal(OneTable()), HasSubstr("fraction"));
  data.Table("t.csv", "id,time\n1.2e+05,2020-01-01\n");
  EXPECT_THAT(data.Refusal(OneTable()), HasSubstr("exponent"));
  data.Table("t.csv", "id,time\n7,2020-01-01\n7.0,2020-01-02\n7,2020-01-03\n");
  EXPECT_EQ(data.Refusal(OneTable()), "accepted");
}

TEST(IngestCsvTest, SubjectScaleThatDoesNotHoldTheIdsIsRefused) {
  CsvDataset data;
  const std::string pattern = "subject_pattern: \"^(\\\\d+)-(\\\\d+)$\"\nsubject_scale: 100\n";
  data.Table("t.csv", "id,time\n3-5,2020-01-01\n4-99,2020-01-01\n");
  data.Ingest(OneTable("", pattern));
  EXPECT_THAT(data.Rows(),
              ElementsAre("305 2020-01-01 00:00:00 A - -", "499 2020-01-01 00:00:00 A - -"));
  for (const char* id : {"3-105", "92233720368547759-0", "3-99999999999999999999"}) {
    data.Table("t.csv", std::string("id,time\n3-5,2020-01-01\n") + id + ",2020-01-01\n");
    EXPECT_THAT(data.Refusal(OneTable("", pattern)),
                AllOf(HasSubstr("line 3"), HasSubstr("subject_scale"), Not(HasSubstr(id))));
  }
  data.Table("t.csv", "id,time\n3-5,2020-01-01\n003-05,2020-01-01\n");
  EXPECT_THAT(data.Refusal(OneTable("", pattern)), HasSubstr("same subject"));
}

TEST(IngestCsvTest, EmptyTimesAreWhatTheMappingSays) {
  CsvDataset data;
  data.Table("t.csv", "id,time\n1,2020-01-01\n2,\n3,NULL\n");
  EXPECT_THAT(data.Refusal(OneTable()),
              AllOf(HasSubstr("2 of 3 rows have no time"), HasSubstr("empty_time")));
  auto report = data.Ingest(OneTable(", empty_time: skip"));
  EXPECT_EQ(report.tables[0].skipped, 2);
  EXPECT_EQ(report.tables[0].lost.total(), 0);
  EXPECT_EQ(data.Rows().size(), 1U);
  report = data.Ingest(OneTable(", empty_time: static"));
  EXPECT_THAT(data.Rows(), ElementsAre("1 2020-01-01 00:00:00 A - -", "2 - A - -", "3 - A - -"));
  report = data.Ingest(OneTable(", allow_lost: [no_time]"));
  EXPECT_EQ(Lost(report, Loss::kNoTime), 2);
}

TEST(IngestCsvTest, ADeathIsNeverTimeless) {
  CsvDataset data;
  data.Table("t.csv", "id,time\n1,2020-01-01\n");
  for (const char* more :
       {", code: MEDS_DEATH, empty_time: static", ", code: [MEDS_DEATH, A], empty_time: static"}) {
    EXPECT_THAT(data.Refusal(OneTable(more)), HasSubstr("a death has a time")) << more;
  }
  EXPECT_THAT(
      data.Refusal("tables: [{file: t.csv, subject: id, static: true, code: MEDS_DEATH}]\n"),
      HasSubstr("a death has a time"));
}

TEST(IngestCsvTest, OfSeveralDeathsTheLastCounts) {
  CsvDataset data;
  data.Table("t.csv", "id,time\n1,2020-05-01\n1,2020-03-01\n1,2020-04-01\n");
  const auto report = data.Ingest(OneTable(", code: MEDS_DEATH"));
  EXPECT_THAT(data.Rows(), ElementsAre("1 2020-05-01 00:00:00 MEDS_DEATH - -"));
  EXPECT_EQ(report.extra_deaths, 2);
}

TEST(IngestCsvTest, DatesInParquetConditionsAndTextsDoNotVanish) {
  CsvDataset data;
  testing::WriteOddParquet(
      data.folder() / "t.parquet",
      {{"id", "int64", {"1", "2"}},
       {"dod", "date32", {"2150-01-31", std::nullopt}},
       {"seen", "timestamp[ms]", {"2149-12-31 10:00:00", "2149-12-31 11:00:00"}}});
  data.Ingest(
      "tables:\n  - file: t.parquet\n    subject: id\n    events:\n"
      "      - {code: MEDS_DEATH, time: dod, when: {dod: \"\\\\d\"}}\n"
      "      - {code: SEEN, time: seen, text: dod}\n");
  EXPECT_THAT(data.Rows(), ElementsAre("1 2149-12-31 10:00:00 SEEN - 2150-01-31",
                                       "1 2150-01-31 00:00:00 MEDS_DEATH - -",
                                       "2 2149-12-31 11:00:00 SEEN - -"));
}

TEST(IngestCsvTest, ParquetTimesCountFromUtcOrAreRefused) {
  CsvDataset data;
  const auto refusal = [&](const std::string& type) {
    testing::WriteOddParquet(data.folder() / "t.parquet",
                             {{"id", "int64", {"1"}}, {"time", type, {"2020-06-01 12:00:00"}}});
    return data.Refusal("tables: [{file: t.parquet, subject: id, time: time, code: A}]\n");
  };
  EXPECT_EQ(refusal("timestamp[us]"), "accepted");
  EXPECT_EQ(refusal("timestamp[us, UTC]"), "accepted");
  EXPECT_THAT(data.Rows(), ElementsAre("1 2020-06-01 12:00:00 A - -"));
  EXPECT_THAT(refusal("timestamp[us, Europe/Berlin]"),
              AllOf(HasSubstr("column 'time'"), HasSubstr("Europe/Berlin")));
}

TEST(IngestCsvTest, OffsetsBesideLocalTimesNeedAWord) {
  CsvDataset data;
  data.Table("t.csv", "id,time\n1,2020-06-01T14:00:00+02:00\n");
  data.Ingest(OneTable());
  EXPECT_THAT(data.Rows(), ElementsAre("1 2020-06-01 12:00:00 A - -"));
  data.Table("t.csv", "id,time\n1,2020-06-01T14:00:00+02:00\n2,2020-06-01 14:00:00\n");
  EXPECT_THAT(data.Refusal(OneTable()), AllOf(HasSubstr("line 3"), HasSubstr("time_offsets: utc")));
  data.Ingest(OneTable("", "time_offsets: utc\n"));
  EXPECT_THAT(data.Rows(),
              ElementsAre("1 2020-06-01 12:00:00 A - -", "2 2020-06-01 14:00:00 A - -"));
  data.Ingest(OneTable("", "time_offsets: local\n"));
  EXPECT_THAT(data.Rows(),
              ElementsAre("1 2020-06-01 14:00:00 A - -", "2 2020-06-01 14:00:00 A - -"));
}

TEST(IngestCsvTest, AWrongTimeFormatIsAnErrorAndLosesNoTableInSilence) {
  CsvDataset data;
  data.Table("t.csv", "id,time\n" + GoodRows(10));
  EXPECT_THAT(
      data.Refusal(OneTable(", time_format: \"%d.%m.%Y\"")),
      AllOf(HasSubstr("10 of 10 rows have a time that cannot be read"), Not(HasSubstr("2020"))));
  EXPECT_THAT(data.Refusal(OneTable(", time_format: \"%H:%M\"")),
              HasSubstr("a format needs year, month and day"));
}

TEST(IngestCsvTest, LossesAreCountedByReasonAndBoundedByAShare) {
  CsvDataset data;
  data.Table("t.csv", "id,time\n" + GoodRows(99) + "1,2020-02-30\n");
  auto report = data.Ingest(OneTable());  // one of a hundred is not more than 1 %
  EXPECT_EQ(Lost(report, Loss::kUnreadableTime), 1);
  EXPECT_EQ(report.tables[0].events, 99);
  EXPECT_THAT(data.Refusal(OneTable("", "lost_share: 0\n")), HasSubstr("1 of 100 rows"));
  data.Table("t.csv", "id,time\n" + GoodRows(98) + "1,2020-02-30\n2,soon\n");
  EXPECT_THAT(data.Refusal(OneTable()), HasSubstr("2 of 100 rows have a time that cannot be read"));
  EXPECT_THAT(data.Refusal(OneTable(", allow_lost: [no_time]")), HasSubstr("2 of 100 rows"));
  EXPECT_EQ(data.Refusal(OneTable(", allow_lost: [unreadable_time]")), "accepted");
  EXPECT_THAT(data.Refusal(OneTable(", allow_lost: [everything]")), HasSubstr("unreadable_time"));
}

TEST(IngestCsvTest, NumbersThatAreNoneAreLostWhereOneIsRequired) {
  CsvDataset data;
  data.Table("t.csv",
             "id,time,v\n1,2020-01-01,> 89\n2,2020-01-01,12%\n3,2020-01-01,\n4,2020-01-01,x\n");
  const std::string more = ", value: v, value_suffix: \"%\", require_value: true";
  const std::string numbers = "numbers: {\"> 89\": 90}\n";
  EXPECT_THAT(data.Refusal(OneTable(more, numbers)), HasSubstr("1 of 3 rows have a value"));
  const auto report = data.Ingest(OneTable(more + ", allow_lost: no_number", numbers));
  EXPECT_EQ(Lost(report, Loss::kNoNumber), 1);
  EXPECT_EQ(report.tables[0].skipped, 1);
  EXPECT_THAT(data.Rows(),
              ElementsAre("1 2020-01-01 00:00:00 A 90 -", "2 2020-01-01 00:00:00 A 12 -"));
}

TEST(IngestCsvTest, TablesOfOtherDelimitersAreReadAndAdvised) {
  CsvDataset data;
  data.Table("t.csv", "id;time\n1;2020-01-01\n");
  EXPECT_THAT(data.Refusal(OneTable()), HasSubstr("delimiter: \";\""));
  EXPECT_EQ(data.Refusal(OneTable(", delimiter: \";\"")), "accepted");
  EXPECT_EQ(data.Refusal(OneTable("", "delimiter: \";\"\n")), "accepted");
  EXPECT_THAT(data.Refusal(OneTable(", delimiter: \";;\"")), HasSubstr("one character"));
}

TEST(IngestCsvTest, TablesThatCannotBeReadWholeLeaveNoDataset) {
  CsvDataset data;
  data.Table("t.csv", "id,time\n1,2020-01-01\n2,\"2020-01-02\n" + GoodRows(50));
  EXPECT_THAT(data.Refusal(OneTable()), AllOf(HasSubstr("line 3"), HasSubstr("never closed")));
  EXPECT_FALSE(std::filesystem::exists(data.meds()));
  data.Table("t.csv", "id,time\n1,2020-01-01,x\n");
  EXPECT_THAT(data.Refusal(OneTable()), HasSubstr("line 2: 3 fields where the heading has 2"));
  EXPECT_THAT(data.Refusal(OneTable(", value: valeu")), HasSubstr("no column 'valeu'"));
}

TEST(IngestCsvTest, NestedAndDoubledParquetColumnsAreRefusedByName) {
  CsvDataset data;
  const std::string mapping = "tables: [{file: t.parquet, subject: id, time: time, code: A}]\n";
  testing::WriteOddParquet(data.folder() / "t.parquet", {{"id", "int64", {"1"}},
                                                         {"time", "string", {"2020-01-01"}},
                                                         {"time", "string", {"2020-01-02"}}});
  EXPECT_THAT(data.Refusal(mapping), HasSubstr("two columns are named 'time'"));
  testing::WriteOddParquet(data.folder() / "t.parquet",
                           {{"id", "int64", {"1"}}, {"time", "struct", {"2020-01-01"}}});
  EXPECT_THAT(data.Refusal(mapping), AllOf(HasSubstr("column 'time'"), HasSubstr("nested")));
  testing::WriteOddParquet(data.folder() / "t.parquet",
                           {{"id", "int64", {"1"}}, {"when", "string", {"2020-01-01"}}});
  EXPECT_THAT(data.Refusal(mapping), AllOf(HasSubstr("no column 'time'"), HasSubstr("'when'")));
}

TEST(IngestCsvTest, MappingsThatCannotBeMeantAreRefused) {
  CsvDataset data;
  data.Table("t.csv", "id,time\n1,2020-01-01\n");
  for (const char* filter : {"last:2:", "after:", "droplast:", "last:0:/", "last:x:/", "upperr"}) {
    EXPECT_THAT(data.Refusal(OneTable(", code: \"{id|" + std::string(filter) + "}\"")),
                HasSubstr("known filters are"))
        << filter;
  }
  for (const char* offset : {"[]", "\"\"", "99999999999999999999"}) {
    EXPECT_THAT(data.Refusal("tables: [{file: t.csv, key: id, code: A, offset_minutes: " +
                             std::string(offset) + "}]\n"),
                AllOf(HasSubstr("mapping.yaml:"), Not(HasSubstr("internal"))))
        << offset;
  }
  EXPECT_THAT(data.Refusal(OneTable(", static: true")), HasSubstr("exactly one of"));
  EXPECT_THAT(data.Refusal("tables: [{file: t.csv, subject: id, code: A}]\n"),
              HasSubstr("exactly one of"));
}

TEST(IngestCsvTest, APatternThatReachesItsLimitIsNoAnswerNo) {
  CsvDataset data;
  data.Table("t.csv", "id,time,x\n1,2020-01-01," + std::string(64, 'a') + "!\n");
  EXPECT_THAT(data.Refusal(OneTable(", when: {x: \"^(a+)+$\"}")),
              AllOf(HasSubstr("limit"), Not(HasSubstr("aaaa"))));
}

TEST(IngestCsvTest, AQuotedLineEndInANoteIsKeptWhereverTheFileIsCut) {
  CsvDataset data;
  for (const std::size_t size : {(std::size_t{1} << 20) - 26, (std::size_t{1} << 20) - 27}) {
    const std::string note = std::string(size, 'n') + "\r\nend";
    data.Table("t.csv", "id,time,note\n1,2020-01-01,\"" + note + "\"\n");
    data.Ingest(OneTable(", text: note"));
    ASSERT_EQ(data.Rows().size(), 1U);
    EXPECT_EQ(data.Rows()[0].size(),
              std::string("1 2020-01-01 00:00:00 A - ").size() + note.size());
    EXPECT_THAT(data.Rows()[0], ::testing::EndsWith("n\r\nend"));
  }
}

}  // namespace
}  // namespace sequela
