// ctest: labels=sanitize timeout=120 arrow
// One file of events: what writers other than MEDS's own make of it, and what is damaged in it.
#include "dataio/meds/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <tuple>

#include "dataio/base/missing_values.h"
#include "tests/testing/arrow/odd_parquet.h"
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
using ::testing::Not;
using testing::OddColumn;
using testing::OddOptions;
using testing::WriteOddParquet;
using Values = std::vector<std::optional<std::string>>;
using Row = std::tuple<std::int64_t, std::int64_t, std::string>;  // subject, time, code

constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kDay = 86'400 * kSecond;

class EventFileTest : public ::testing::Test {
 protected:
  fs::path file() const { return root_ / "0.parquet"; }
  void Write(const OddOptions& options = {}) const {
    WriteOddParquet(file(), {subject_, time_, code_}, options);
  }
  std::vector<Row> Read(const EventColumns& columns = {}) {
    const EventFile open = EventFile::Open(file(), columns);
    std::vector<Row> rows;
    for (int group = 0; group < open.num_row_groups(); ++group) {
      open.ReadRowGroup(
          group,
          [&](const EventBatch& batch) {
            most_rows_ = std::max(most_rows_, batch.rows());
            for (std::size_t i = 0; i < batch.subject.size(); ++i) {
              rows.emplace_back(batch.subject[i], batch.time_us[i],
                                batch.code.dictionary[batch.code.index[i]]);
            }
          },
          counts_);
    }
    return rows;
  }
  std::string Refusal(const EventColumns& columns = {}) {
    return MessageOf([&] { Read(columns); });
  }

  OddColumn subject_{"subject_id", "int64", {"1", "1", "2"}};
  OddColumn time_{"time",
                  "timestamp[us]",
                  {"1970-01-01 00:00:00", "1970-01-01 00:00:01", "1970-01-02 00:00:00"}};
  OddColumn code_{"code", "string", {"AAAA", "BBBB", "AAAA"}};
  testing::TempFolder root_;
  EventReadCounts counts_;
  std::int64_t most_rows_ = 0;
};

TEST_F(EventFileTest, CodesInDeltaPagesAreRead) {
  for (const char* encoding : {"delta_byte_array", "delta_length_byte_array"}) {
    for (const std::int64_t row_group_rows : {2, 100}) {
      OddOptions options;
      options.encoding = encoding;
      options.row_group_rows = row_group_rows;
      Write(options);
      EXPECT_THAT(Read(),
                  ElementsAre(Row{1, 0, "AAAA"}, Row{1, kSecond, "BBBB"}, Row{2, kDay, "AAAA"}))
          << encoding;
    }
  }
}

TEST_F(EventFileTest, TimesInInt96KeepTheirCenturies) {
  OddOptions options;
  options.int96_times = true;
  options.row_group_rows = 2;
  time_.values = {"1600-01-01 00:00:00", "9999-12-31 23:59:59", "1970-01-01 00:00:00.000001"};
  Write(options);
  EXPECT_THAT(Read(), ElementsAre(Row{1, -11'676'096'000 * kSecond, "AAAA"},
                                  Row{1, 253'402'300'799 * kSecond, "BBBB"}, Row{2, 1, "AAAA"}));
}

TEST_F(EventFileTest, NanosecondsInInt96AreRefusedAsElsewhere) {
  OddOptions options;
  options.int96_times = true;
  options.row_group_rows = 2;
  time_.type = "timestamp[ns]";
  time_.values[2] = "2020-01-01 00:00:00.000000001";
  Write(options);
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("row group 1"), HasSubstr("row 2"),
                               HasSubstr("nanoseconds below one microsecond")));
}

TEST_F(EventFileTest, TimesLieInTheYears1To9999) {
  time_.type = "timestamp[s]";
  time_.values[1] = "0001-01-01 00:00:00";
  Write();
  EXPECT_EQ(std::get<1>(Read()[1]), -62'135'596'800 * kSecond);
  time_.values[1] = "0000-12-31 23:59:59";
  Write();
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("'time'"), HasSubstr("row 1"), HasSubstr("1 to 9999"),
                               Not(HasSubstr("12-31"))));
}

TEST_F(EventFileTest, AFileWithoutRowsMayHaveAnyColumns) {
  WriteOddParquet(file(), {{"subject_id", "null", {}}, {"time", "null", {}}, {"code", "null", {}}});
  EXPECT_THAT(Read(), IsEmpty());
  WriteOddParquet(file(), {{"other", "int32", {}}});
  EXPECT_THAT(Read(), IsEmpty());
  WriteOddParquet(file(), {{"other", "int32", {"1"}}});
  EXPECT_THAT(Refusal(), HasSubstr("no column 'subject_id'"));
}

TEST_F(EventFileTest, AColumnOfNullsMayHaveAnyType) {
  for (const char* type : {"null", "int32", "bool"}) {
    WriteOddParquet(file(), {{"subject_id", "int64", {"3", "3"}},
                             {"time", type, {{}, {}}},
                             {"code", "string", {"GENDER//M", "A"}},
                             {"numeric_value", type, {{}, {}}},
                             {"text_value", type, {{}, {}}}});
    EXPECT_THAT(Read(), ElementsAre(Row{3, kStaticTime, "GENDER//M"}, Row{3, kStaticTime, "A"}))
        << type;
  }
  WriteOddParquet(file(), {subject_, {"time", "int32", {{}, "1", {}}}, code_});
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("'time'"), HasSubstr("type int32")));
}

TEST_F(EventFileTest, AnIndexOutsideOfItsDictionaryIsRefused) {
  code_.values = {"AAAA", "BBBB", "CCCC", "BBBB", "CCCC"};
  subject_.values.assign(5, "1");
  time_.values.assign(5, std::nullopt);
  for (const char* type : {"string", "large_string", "dictionary"}) {
    code_.type = type;
    Write({"uncompressed", 100, true, false});
    std::ifstream stream(file(), std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    // The indices 0 1 2 1 2 in two bits each, after their width and the run's head.
    const auto place = bytes.find(std::string("\x02\x03\x64\x02", 4));
    ASSERT_NE(place, std::string::npos);
    bytes[place + 2] = '\xff';
    std::ofstream(file(), std::ios::binary) << bytes;
    EXPECT_THAT(Refusal(), AllOf(HasSubstr("row group 0, column 'code'"), HasSubstr("dictionary")))
        << type;
  }
}

// The notes have 150 MiB, compressed to a thousandth of it.
TEST_F(EventFileTest, LongTextsStayWithinTheMemory) {
  OddColumn text{"text_value", "string", {}};
  subject_.values.assign(7500, "1");
  time_.values.assign(7500, std::nullopt);
  code_.values.assign(7500, "NOTE");
  for (int i = 0; i < 7500; ++i)
    text.values.push_back(std::to_string(i) + std::string(20'000, 'x'));
  WriteOddParquet(file(), {subject_, time_, code_, text}, {"zstd", 1'000'000, false, false});
  EventColumns columns;
  columns.batch_bytes = 4 << 20;
  columns.memory_bytes = 64 << 20;
  EXPECT_EQ(Read(columns).size(), 7500U);
  EXPECT_LE(most_rows_, 300);
  columns.memory_bytes = 1 << 20;  // less than its pages take
  EXPECT_THAT(Refusal(columns), AllOf(HasSubstr("row group 0"), HasSubstr("more memory than")));
}

TEST_F(EventFileTest, LongCodesAreRefused) {
  code_.values[1] = std::string(kMaxCodeBytes, 'x');
  Write();
  EXPECT_EQ(Read().size(), 3U);
  code_.values[1] = std::string(kMaxCodeBytes + 1, 'x');
  Write();
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("row 1"), HasSubstr("more than 16 KiB")));
}

TEST_F(EventFileTest, NoMessageShowsAValueOrAControlCharacter) {
  EventColumns columns;
  columns.stay = "stay";
  WriteOddParquet(file(), {subject_, time_, code_, {"stay", "string", Values(3, "secret")}});
  EXPECT_THAT(Refusal(columns), AllOf(HasSubstr("'stay'"), HasSubstr("stay ids are integers"),
                                      Not(HasSubstr("secret"))));
  WriteOddParquet(file(), {{"\x1b[2J", "int64", Values(3, "1")}, time_});
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("'\\x1b[2J'"), Not(HasSubstr("\x1b"))));
}

TEST_F(EventFileTest, WhatIsNoRegularFileIsNoInput) {
  EXPECT_THAT(Refusal(), HasSubstr("no such file"));
  fs::create_directories(file());
  EXPECT_THAT(Refusal(), HasSubstr("no regular file"));
}

}  // namespace
}  // namespace sequela
