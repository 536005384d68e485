// ctest: labels=sanitize timeout=60
// JSON of files that somebody else may have written: refused with a place and no content, whatever
// its depth, size or damage. Counts are compared with those of texts that are built with them.
#include "kernels/base/json_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "kernels/base/json_fields.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Nested(int depth) {
  const auto count = static_cast<std::size_t>(depth);
  return std::string(count, '[') + std::string(count, ']');
}

template <typename Json = nlohmann::json>
std::string RefusalOf(std::string_view text) {
  try {
    ParseJsonText<Json>(text, "some/file.json");
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(JsonTextTest, AllowsTheDepthThatItStatesAndNoMore) {
  EXPECT_EQ(RefusalOf(Nested(kMaxJsonDepth)), "accepted");
  EXPECT_THAT(RefusalOf(Nested(kMaxJsonDepth + 1)),
              AllOf(HasSubstr("some/file.json"), HasSubstr("deeper than 64")));
  // Neither parsed nor destroyed, which recurse.
  EXPECT_THAT(RefusalOf(Nested(10'000'000)), HasSubstr("deeper"));
  EXPECT_THAT(RefusalOf(std::string(1'000'000, '{')), HasSubstr("deeper"));
  std::string objects;
  for (int i = 0; i < 100; ++i) objects += "{\"a\":";
  EXPECT_THAT(RefusalOf(objects), HasSubstr("deeper"));
}

TEST(JsonTextTest, BracketsInStringsAreNoNesting) {
  EXPECT_EQ(RefusalOf("\"" + std::string(1000, '[') + "\""), "accepted");
  EXPECT_EQ(RefusalOf(R"(["\"[[[[", "\\", "{:{:"])"), "accepted");
  EXPECT_EQ(OutlineJson(R"({"a\"{[": [1, "]}"], "b": {}})").depth, 2);
}

TEST(JsonTextTest, CountsMembers) {
  const JsonOutline outline =
      OutlineJson(R"({"a":{"x:":1,"y":2,"z":3},"b":[{"x":1},{"x":1}],"b":0})");
  EXPECT_EQ(outline.root_members, 3U);
  EXPECT_EQ(outline.most_members, 3U);
  EXPECT_EQ(OutlineJson("[1, 2]").root_members, 0U);
}

TEST(JsonTextTest, SaysWhereAndNeverWhat) {
  EXPECT_THAT(RefusalOf("{\"a\": 1,\n \"secret\": tru}"),
              AllOf(HasSubstr("line 2, column 15"), Not(HasSubstr("secret"))));
  EXPECT_THAT(RefusalOf(""), HasSubstr("not valid JSON at line 1, column 1"));
  EXPECT_THAT(RefusalOf("[1e999]"), HasSubstr("out of range"));
  // Bytes that are no UTF-8 do not reach the message either.
  const std::string message = RefusalOf("{\"a\xff\": 1}");
  EXPECT_THAT(message, HasSubstr("not valid JSON"));
  EXPECT_EQ(nlohmann::json(message).dump(), "\"" + message + "\"");
}

TEST(JsonTextTest, OrderedObjectsAreBounded) {
  // Each member is looked for among all others when it is added.
  const auto object = [](std::uint64_t members) {
    std::string text = "{";
    for (std::uint64_t i = 0; i < members; ++i)
      text += fmt::format("{}\"{}\":0", i > 0 ? "," : "", i);
    return text + "}";
  };
  EXPECT_EQ(RefusalOf<nlohmann::ordered_json>(object(kMaxOrderedMembers)), "accepted");
  EXPECT_THAT(RefusalOf<nlohmann::ordered_json>(object(kMaxOrderedMembers + 1)),
              HasSubstr("members"));
  EXPECT_EQ(RefusalOf(object(kMaxOrderedMembers + 1)), "accepted");
}

TEST(JsonTextTest, OnlyRegularFilesAreRead) {
  const testing::TempFolder folder;
  std::ofstream(folder / "a.json") << "[7]";
  EXPECT_EQ(ReadJsonFile(folder / "a.json"), nlohmann::json({7}));
  EXPECT_THROW(ReadJsonFile(folder / "none.json"), InputError);
  EXPECT_THROW(ReadJsonFile(folder.path()), InputError);
  EXPECT_THROW(ReadJsonFile("/dev/zero"), InputError);
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(ReadJsonFile(folder / "pipe"), InputError) << "and does not wait for a writer";
}

TEST(JsonFieldTest, NumbersAreWholeAndInRange) {
  const auto refuses = [](const char* text) {
    const nlohmann::json json = nlohmann::json::parse(text);
    try {
      JsonField(json, "f")["a"].Integer(-5, 1000);
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), HasSubstr("an integer from -5 to 1000"));
      return true;
    }
    return false;
  };
  EXPECT_FALSE(refuses(R"({"a": -5})"));
  EXPECT_FALSE(refuses(R"({"a": 1000})"));
  for (const char* text : {R"({"a": 1001})", R"({"a": -6})", R"({"a": 1.0})", R"({"a": true})",
                           R"({"a": "7"})", R"({"a": null})", R"({"a": 18446744073709551615})"}) {
    EXPECT_TRUE(refuses(text)) << text;
  }
}

}  // namespace
}  // namespace sequela
