// ctest: labels=sanitize timeout=60
#include "dataio/base/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/message_of.h"

namespace sequela {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MessageOf;
using ::testing::Not;

TEST(PatternTest, MatchesAnywhereAndGivesGroups) {
  const Pattern pattern("(ICD)//(\\d+)?");
  EXPECT_TRUE(pattern.Matches("x ICD//9"));
  EXPECT_FALSE(pattern.Matches("ATC//9"));
  EXPECT_THAT(pattern.Groups("ICD//93"), ElementsAre("ICD", "93"));
  EXPECT_THAT(pattern.Groups("ATC//93"), IsEmpty());
}

// (a+)+$ takes exponential time on a's that something else follows: PCRE2 gives up.
TEST(PatternTest, GivingUpIsAnErrorAndNotTheAnswerNo) {
  const Pattern pattern("^(a+)+$");
  std::string text(64, 'a');
  text += "secret";
  for (const std::string& message :
       {MessageOf([&] { pattern.Matches(text); }), MessageOf([&] { pattern.Groups(text); }),
        MessageOf([&] { PatternSet({"^(a+)+$"}).Matches(text); })}) {
    EXPECT_THAT(message, AllOf(HasSubstr("^(a+)+$"), HasSubstr("70 bytes"), HasSubstr("limit"),
                               Not(HasSubstr("secret"))));
  }
}

TEST(PatternTest, TextThatIsNotUtf8IsAnError) {
  const Pattern pattern("b");
  EXPECT_THAT(MessageOf([&] { pattern.Matches("a\xff"); }), HasSubstr("cannot be decided"));
}

TEST(PatternTest, AWrongExpressionIsShownWithItsPlace) {
  EXPECT_THAT(MessageOf([] { Pattern("a(b"); }), AllOf(HasSubstr("a(b"), HasSubstr("character 4")));
}

}  // namespace
}  // namespace sequela
