// ctest: labels=sanitize timeout=30
#include "kernels/base/printable_text.h"

#include <gtest/gtest.h>

namespace sequela {
namespace {

TEST(PrintableTextTest, PlainTextStaysAsItIs) {
  EXPECT_EQ(Printable("LAB//Kalium//mmol/l"), "LAB//Kalium//mmol/l");
  EXPECT_EQ(Printable("Größe 身長 \U0001F600"), "Größe 身長 \U0001F600");
  EXPECT_EQ(Printable(""), "");
}

TEST(PrintableTextTest, NoControlCharacterReachesTheTerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb"), "a\\x1b[2Jb");
  EXPECT_EQ(Printable("a\nb\rc\td"), "a\\x0ab\\x0dc\\x09d");
  EXPECT_EQ(Printable(std::string_view("a\0b\x7f", 4)), "a\\x00b\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\x9b");  // the one-character form of ESC [
  EXPECT_EQ(Printable("\xe2\x80\xae"
                      "abc"),
            "\\u202eabc");  // writes from right to left
  EXPECT_EQ(Printable("\xe2\x80\xa8"), "\\u2028");
}

TEST(PrintableTextTest, BytesThatAreNotUtf8AreWrittenOut) {
  EXPECT_EQ(Printable("a\xff"
                      "b"),
            "a\\xffb");
  EXPECT_EQ(Printable("\xc0\x9b"), "\\xc0\\x9b");           // ESC in a longer form than needed
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(Printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond Unicode
  EXPECT_EQ(Printable("x\xe2\x80"), "x\\xe2\\x80");                  // cut short
}

TEST(PrintableTextTest, LongTextIsCutAtACharacter) {
  EXPECT_EQ(Printable("abcdef", 6), "abcdef");
  EXPECT_EQ(Printable("abcdef", 5), "abcde...");
  EXPECT_EQ(Printable("abcdé", 5), "abcd...");
}

TEST(PrintableTextTest, LinesOfAMessageAreKept) {
  EXPECT_EQ(PrintableLines("a\x1b\n\nb\n"), "a\\x1b\n\nb\n");
  EXPECT_EQ(PrintableLines(std::string(5000, 'x')), std::string(5000, 'x'));
}

}  // namespace
}  // namespace sequela
