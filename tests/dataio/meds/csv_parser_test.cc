// ctest: labels=sanitize timeout=60
// The text of CSV tables as records, whatever the pieces in which it comes.
#include "dataio/meds/csv_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataio/meds/csv_table.h"
#include "tests/testing/message_of.h"

namespace sequela {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MessageOf;
using ::testing::Not;

using Records = std::vector<std::vector<std::string>>;

struct Parsed {
  Records records;
  std::vector<std::int64_t> lines;
};

// The text fed in two pieces, the first of `cut` bytes.
Parsed Parse(const std::string& text, std::size_t cut = 0, char delimiter = ',') {
  Parsed parsed;
  const auto add = [&](std::int64_t line, std::span<const std::string_view> fields) {
    parsed.lines.push_back(line);
    parsed.records.emplace_back(fields.begin(), fields.end());
  };
  CsvParser parser("t.csv", delimiter);
  parser.Feed(std::string_view(text).substr(0, cut), add);
  parser.Feed(std::string_view(text).substr(cut), add);
  parser.Finish(add);
  return parsed;
}

std::string Refusal(const std::string& text) {
  return MessageOf([&] { Parse(text); });
}

TEST(CsvParserTest, FieldsAndRecordsOfEveryKindOfLineEnd) {
  EXPECT_EQ(Parse("a,b\n1,\r\n,2\r3,4").records,
            (Records{{"a", "b"}, {"1", ""}, {"", "2"}, {"3", "4"}}));
  EXPECT_EQ(Parse("a;b,c\n", 0, ';').records, (Records{{"a", "b,c"}}));
  EXPECT_EQ(Parse("a,\"x \"\"y\"\", z\"\n\"\",q\"q\n").records,
            (Records{{"a", "x \"y\", z"}, {"", "q\"q"}}));
}

TEST(CsvParserTest, EmptyLinesAreNoRecordsAndAnEmptyQuotedFieldIsOne) {
  const Parsed parsed = Parse("a\n\n\r\nb\n\"\"\n");
  EXPECT_EQ(parsed.records, (Records{{"a"}, {"b"}, {""}}));
  EXPECT_THAT(parsed.lines, ElementsAre(1, 4, 5));
}

TEST(CsvParserTest, ACutAnywhereChangesNothing) {
  const std::string text =
      "id,note\r\n1,\"two\r\nlines\"\r\n2,\"a "
      "\"\"quote\"\"\"\r\n\r\n3,\"\r\n\"\n4,\xc3\xa4\r5,\"\"";
  const Parsed whole = Parse(text);
  ASSERT_EQ(whole.records, (Records{{"id", "note"},
                                    {"1", "two\r\nlines"},
                                    {"2", "a \"quote\""},
                                    {"3", "\r\n"},
                                    {"4", "\xc3\xa4"},
                                    {"5", ""}}));
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const Parsed parsed = Parse(text, cut);
    EXPECT_EQ(parsed.records, whole.records) << "cut at " << cut;
    EXPECT_EQ(parsed.lines, whole.lines) << "cut at " << cut;
  }
}

TEST(CsvParserTest, AQuoteThatIsNeverClosedIsNamedByItsLine) {
  EXPECT_THAT(Refusal("id,note\n1,a\n2,\"secret\n3,b\n4,c\n"),
              AllOf(HasSubstr("t.csv, line 3, column 2"), HasSubstr("never closed"),
                    Not(HasSubstr("secret"))));
}

TEST(CsvParserTest, TextAfterAClosingQuoteAndZeroBytesAreRefused) {
  EXPECT_THAT(Refusal("a\n\"x\"secret\n"),
              AllOf(HasSubstr("t.csv, line 2, column 1"), HasSubstr("closing quote"),
                    Not(HasSubstr("secret"))));
  EXPECT_THAT(Refusal(std::string("a\0b\0", 4)), HasSubstr("UTF-16"));
}

TEST(CsvParserTest, AQuoteThatSwallows64MiBIsNamedBeforeTheFileEnds) {
  CsvParser parser("t.csv", ',');
  const auto ignore = [](std::int64_t, std::span<const std::string_view>) {};
  parser.Feed("a\n\"", ignore);
  const std::string megabyte(1 << 20, 'x');
  EXPECT_THAT(MessageOf([&] {
                for (int i = 0; i < 70; ++i) parser.Feed(megabyte, ignore);
              }),
              AllOf(HasSubstr("line 2"), HasSubstr("not closed within 64 MiB")));
}

// What a table's reader says of `text` when it looks for column 'id'.
std::string TableRefusal(const std::string& text, char delimiter = ',') {
  return MessageOf([&] {
    CsvTableReader table("t.csv", {{"id"}}, delimiter, [](const TextBatch&) {});
    table.Feed(text);
    table.Feed("");
  });
}

TEST(CsvTableTest, RowsOfAnotherLengthAreRefusedByLine) {
  EXPECT_THAT(TableRefusal("id,x\n1,2\nsecret\n"),
              AllOf(HasSubstr("t.csv, line 3: 1 fields where the heading has 2"),
                    Not(HasSubstr("secret"))));
  EXPECT_THAT(TableRefusal("id,x\n1,2,secret\n"),
              AllOf(HasSubstr("3 fields"), Not(HasSubstr("secret"))));
}

TEST(CsvTableTest, AHeadingSaysWhatIsWrongWithIt) {
  EXPECT_THAT(TableRefusal("idd,x\n1,2\n"),
              AllOf(HasSubstr("did you mean 'idd'"), HasSubstr("Its columns: 'idd', 'x'")));
  EXPECT_THAT(TableRefusal("id;x\n1;2\n"), HasSubstr("delimiter: \";\""));
  EXPECT_EQ(TableRefusal("id;x\n1;2\n", ';'), "accepted");
  EXPECT_THAT(TableRefusal("1234,2020-01-01\n"),
              AllOf(HasSubstr("looks like data"), Not(HasSubstr("1234"))));
  EXPECT_THAT(TableRefusal("id,id\n1,2\n"), HasSubstr("two columns are named 'id'"));
  EXPECT_EQ(TableRefusal("id,x,x\n1,2,3\n"), "accepted");  // the mapping does not read x
  EXPECT_THAT(TableRefusal(""), HasSubstr("empty"));
}

TEST(CsvTableTest, AByteOrderMarkIsNoPartOfANameAndLatin1IsRefused) {
  EXPECT_EQ(TableRefusal("\xEF\xBB\xBFid\n1\n"), "accepted");
  EXPECT_THAT(TableRefusal("id\n1\n\xe4\n"), HasSubstr("t.csv, line 3, column 'id'"));
}

TEST(CsvTableTest, AByteOrderMarkMayComeInPieces) {
  const std::string text = "\xEF\xBB\xBFid\n1\n";
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    EXPECT_EQ(MessageOf([&] {
                CsvTableReader table("t.csv", {{"id"}}, ',', [](const TextBatch&) {});
                table.Feed(std::string_view(text).substr(0, cut));
                table.Feed(std::string_view(text).substr(cut));
                table.Feed("");
              }),
              "accepted")
        << "cut at " << cut;
  }
}

TEST(CsvTableTest, AQuotedLineEndAtThePiecesEdgeIsKept) {
  std::string note;
  CsvTableReader table("t.csv", {{"note"}}, ',', [&](const TextBatch& batch) {
    for (const std::string_view text : batch.columns[0].text) note += text;
  });
  const std::string filler((1 << 20) - 7, 'n');
  table.Feed("note\n\"" + filler + "\r");  // a piece of a MiB that ends between CR and LF
  table.Feed("\nend\"\n");
  table.Feed("");
  EXPECT_EQ(note, filler + "\r\nend");
}

}  // namespace
}  // namespace sequela
