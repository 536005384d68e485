// ctest: labels=sanitize timeout=60
// Times of tables: what is read, what is missing, and what is no time.
#include "dataio/ingest/csv/csv_time.h"

#include <gtest/gtest.h>

namespace sequela {
namespace {

using Kind = ParsedTime::Kind;

constexpr std::int64_t kHour = 3'600'000'000;
constexpr std::int64_t kJune = 1'591'012'800'000'000;  // 2020-06-01 12:00:00

ParsedTime Parse(const std::string& text, const std::string& format = "",
                 TimeOffsets rule = TimeOffsets::kRefuseMixed) {
  return ParseTime(text, format, rule);
}

void ExpectTime(const ParsedTime& found, std::int64_t time_us) {
  EXPECT_EQ(found.kind, Kind::kTime);
  EXPECT_EQ(found.time_us, time_us);
}

TEST(CsvTimeTest, IsoTimesAreReadToTheMicrosecond) {
  ExpectTime(Parse("2020-06-01"), kJune - 12 * kHour);
  ExpectTime(Parse(" 2020-06-01 12:00 "), kJune);
  ExpectTime(Parse("2020-06-01T12:00:00"), kJune);
  ExpectTime(Parse("2020-06-01 12:00:00.25"), kJune + 250'000);
  ExpectTime(Parse("2020-06-01 12:00:00,0000010"), kJune + 1);
  ExpectTime(Parse("1969-12-31 23:59:59"), -1'000'000);
}

TEST(CsvTimeTest, OffsetsMoveATimeToUtcUnlessTheMappingTakesItAsWritten) {
  for (const char* text : {"2020-06-01T14:00:00+02:00", "2020-06-01 14:00:00+0200",
                           "2020-06-01 14:00:00 +02", "2020-06-01T06:30:00-05:30"}) {
    ExpectTime(Parse(text), kJune);
    EXPECT_EQ(Parse(text).clock, ParsedTime::Clock::kOffset);
  }
  ExpectTime(Parse("2020-06-01T12:00:00+02:00", "", TimeOffsets::kLocal), kJune);
  for (const char* text :
       {"2020-06-01T12:00:00Z", "2020-06-01 12:00 UTC", "2020-06-01 12:00+00:00"}) {
    ExpectTime(Parse(text), kJune);
    EXPECT_EQ(Parse(text).clock, ParsedTime::Clock::kUtc);
  }
  ExpectTime(Parse("01.06.2020 14:00 +0200", "%d.%m.%Y %H:%M %z"), kJune);
  ExpectTime(Parse("01.06.2020 14:00+02:00", "%d.%m.%Y %H:%M"), kJune);
}

TEST(CsvTimeTest, DatesThatNoCalendarHasAreNoTimes) {
  for (const char* text :
       {"2020-02-30", "2021-02-29", "2020-13-01", "2020-00-10", "2020-04-31", "0020-01-01",
        "2020-06-01 24:00", "2020-06-01 12:60", "2020-06-01 12:00:60", "2020-06-01x",
        "2020-06-01 12:00 CET", "2020-06-01 12:00+25:00", "2020-06-01 12:00:00.0000001",
        "01.06.2020", "20200601", "1591012800"}) {
    EXPECT_EQ(Parse(text).kind, Kind::kUnreadable) << text;
  }
  EXPECT_EQ(Parse("30.02.2020", "%d.%m.%Y").kind, Kind::kUnreadable);
  EXPECT_EQ(Parse("2020-06-01", "%d.%m.%Y").kind, Kind::kUnreadable);
  EXPECT_EQ(Parse("01.06.2020 12:00", "%d.%m.%Y").kind, Kind::kUnreadable);
  ExpectTime(Parse("29.02.2020", "%d.%m.%Y"), 1'582'934'400'000'000);
}

TEST(CsvTimeTest, WordsForNothingAreMissing) {
  for (const char* text : {"", "  ", "NULL", "null", "NaT", "nan", "NA", "N/A", "None", "\\N"}) {
    EXPECT_EQ(Parse(text).kind, Kind::kMissing) << text;
    EXPECT_EQ(Parse(text, "%d.%m.%Y").kind, Kind::kMissing) << text;
  }
}

TEST(CsvTimeTest, FormatsThatTellNoDateAreNamed) {
  for (const char* format : {"%d.%m", "%H:%M", "%s", "%Y-%m-%d %Z", "%Y-%m-%d %I:%M", "ymd"}) {
    EXPECT_NE(FaultOfTimeFormat(format), "") << format;
  }
  for (const char* format : {"%Y%m%d", "%d.%m.%y %H:%M", "%F %T", "%Y-%m-%d %I:%M %p", "%Y-%j"}) {
    EXPECT_EQ(FaultOfTimeFormat(format), "") << format;
  }
}

}  // namespace
}  // namespace sequela
