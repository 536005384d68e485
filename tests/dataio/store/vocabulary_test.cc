// ctest: labels=sanitize timeout=60
#include "dataio/store/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/base/errors.h"
#include "tests/testing/tiny_store.h"

namespace sequela {
namespace {

using ::testing::HasSubstr;

std::string Document(const std::string& tokens, const std::string& version = "1.0") {
  return R"({"format": "sequela.vocabulary", "format_version": ")" + version + R"(", "tokens": [)" +
         R"({"text": "[BOS]", "kind": "special", "train_count": 0},)" +
         R"({"text": "[END]", "kind": "special", "train_count": 0},)" +
         R"({"text": "[UNK]", "kind": "special", "train_count": 0})" + tokens + "]}";
}

std::string MessageOf(const std::string& json) {
  try {
    Vocabulary::FromJson(json, "dir/vocabulary.json");
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(VocabularyTest, ReadsBackEveryField) {
  std::vector<TokenEntry> tokens = testing::TinyVocabulary(5).tokens();
  tokens.push_back({.text = "\"odd\" \\ \xC3\xA9\n",
                    .kind = TokenKind::kValue,
                    .train_count = std::int64_t{1} << 60,
                    .code = "LAB//x",
                    .is_fallback = true,
                    .bin_lower = 0.1F,
                    .bin_upper = std::nextafter(0.1F, 1.0F),
                    .text_result = "positive"});
  const Vocabulary written(tokens);
  const Vocabulary read = Vocabulary::FromJson(written.ToJson(), "v");
  ASSERT_EQ(read.size(), written.size());
  EXPECT_EQ(read.ToJson(), written.ToJson());
  EXPECT_EQ(read.hash(), written.hash());
  for (std::int32_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].text, written[i].text);
    EXPECT_EQ(read[i].kind, written[i].kind);
    EXPECT_EQ(read[i].train_count, written[i].train_count);
    EXPECT_EQ(read[i].code, written[i].code);
    EXPECT_EQ(read[i].is_fallback, written[i].is_fallback);
    EXPECT_EQ(read[i].has_numeric_bin(), written[i].has_numeric_bin());
    if (written[i].has_numeric_bin()) {
      EXPECT_EQ(read[i].bin_lower, written[i].bin_lower);
      EXPECT_EQ(read[i].bin_upper, written[i].bin_upper);
    }
    EXPECT_EQ(read[i].text_result, written[i].text_result);
    EXPECT_EQ(read[i].lower_seconds, written[i].lower_seconds);
    EXPECT_EQ(read[i].upper_seconds, written[i].upper_seconds);
    EXPECT_EQ(read[i].gap_quantiles_seconds, written[i].gap_quantiles_seconds);
    EXPECT_EQ(read.Find(written[i].text), i);
  }
  EXPECT_EQ(read.Find("absent"), Vocabulary::kNone);
}

TEST(VocabularyTest, TheHashIgnoresCountsAndSeesEverythingElse) {
  const std::vector<TokenEntry> tokens = testing::TinyVocabulary(5).tokens();
  const std::string hash = Vocabulary(tokens).hash();
  std::vector<TokenEntry> counted = tokens;
  counted[4].train_count += 1;
  counted[11].gap_quantiles_seconds = {1, 2};
  EXPECT_EQ(Vocabulary(counted).hash(), hash);
  std::vector<TokenEntry> renamed = tokens;
  renamed.back().text += "x";
  EXPECT_NE(Vocabulary(renamed).hash(), hash);
  std::vector<TokenEntry> moved = tokens;
  moved.back().bin_lower = std::nextafter(moved.back().bin_lower, 1.0F);
  EXPECT_NE(Vocabulary(moved).hash(), hash);
}

TEST(VocabularyTest, FindsIntervalsByTheirLowerEdge) {
  const Vocabulary vocabulary = testing::TinyVocabulary(1);
  const auto gap = [&](std::int64_t seconds) {
    return vocabulary[vocabulary.GapToken(seconds)].text;
  };
  EXPECT_EQ(gap(1), "GAP//0");
  EXPECT_EQ(gap(3599), "GAP//0");
  EXPECT_EQ(gap(3600), "GAP//3600");
  EXPECT_EQ(gap(86'399), "GAP//3600");
  EXPECT_EQ(gap(std::int64_t{1} << 50), "GAP//31557600");
  EXPECT_EQ(vocabulary[vocabulary.AgeToken(-5)].text, "AGE//0");
  EXPECT_EQ(Vocabulary::FromJson(Document(""), "v").GapToken(1), Vocabulary::kNone);
}

TEST(VocabularyTest, RefusesHostileFiles) {
  EXPECT_EQ(MessageOf(Document("")), "accepted");
  EXPECT_THAT(MessageOf(""), HasSubstr("dir/vocabulary.json: not valid JSON"));
  EXPECT_THAT(MessageOf(Document("").substr(0, 100)), HasSubstr("not valid JSON"));
  EXPECT_THAT(MessageOf("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(MessageOf(std::string(100'000, '[')), HasSubstr("not valid JSON"));
  EXPECT_THAT(MessageOf(Document("", "2.0")), HasSubstr("version 1.x"));
  EXPECT_THAT(MessageOf(R"({"format": "else"})"), HasSubstr("sequela.vocabulary"));
  const auto with = [](const std::string& token) { return MessageOf(Document("," + token)); };
  EXPECT_THAT(with("7"), HasSubstr("tokens[3]: found 7, expected an object"));
  EXPECT_THAT(with(R"({"kind": "code", "train_count": 1})"), HasSubstr("tokens[3].text: missing"));
  EXPECT_THAT(with(R"({"text": "a", "kind": "drug", "train_count": 1})"),
              HasSubstr("one of special, static, age, gap, code, value"));
  EXPECT_THAT(with(R"({"text": "a", "kind": "code", "train_count": -1})"),
              HasSubstr("tokens[3].train_count: found -1"));
  EXPECT_THAT(with(R"({"text": "a", "kind": "code", "train_count": 18446744073709551615})"),
              HasSubstr("tokens[3].train_count"));
  EXPECT_THAT(with(R"({"text": "[UNK]", "kind": "code", "train_count": 1})"),
              HasSubstr("texts must differ"));
  EXPECT_THAT(with(R"({"text": "a", "kind": "value", "train_count": 1, "bin": [2, 1]})"),
              HasSubstr("lower edge below"));
  EXPECT_THAT(with(R"({"text": "a", "kind": "value", "train_count": 1, "bin": [0, 1e300]})"),
              HasSubstr("finite float32"));
  EXPECT_THAT(with(R"({"text": "a", "kind": "gap", "train_count": 1})"),
              HasSubstr("tokens[3].seconds: missing"));
  EXPECT_THAT(with(R"({"text": "a", "kind": "gap", "train_count": 1, "seconds": [0, 60]},)"
                   R"({"text": "b", "kind": "gap", "train_count": 1, "seconds": [61, null]})"),
              HasSubstr("do not join"));
  EXPECT_THAT(
      MessageOf(R"({"format": "sequela.vocabulary", "format_version": "1.0", "tokens": []})"),
      HasSubstr("no token \"[BOS]\""));
}

}  // namespace
}  // namespace sequela
