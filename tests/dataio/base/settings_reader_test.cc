// ctest: labels=sanitize timeout=60
// YAML as settings: what is a number, a document, a text. Truth: the rules in settings_reader.h,
// written out by hand.
#include "dataio/base/settings_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "dataio/base/number_text.h"
#include "tests/testing/message_of.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::MessageOf;
using ::testing::StartsWith;
using testing::TempFolder;

YamlValue ValueOf(const std::string& text) {
  return YamlValue::Parse("key: " + text, "my.yaml").AsMap().at(0).second;
}
std::string ParseMessage(const std::string& yaml) {
  return MessageOf([&] { YamlValue::Parse(yaml, "my.yaml"); });
}

TEST(NumberFromText, TakesDecimalDigitsOnly) {
  EXPECT_EQ(NumberFromText<std::int64_t>("010"), 10);
  EXPECT_EQ(NumberFromText<std::int64_t>("-3"), -3);
  EXPECT_EQ(NumberFromText<std::uint64_t>("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(NumberFromText<double>("3e-4"), 3e-4);
  EXPECT_EQ(NumberFromText<double>("010"), 10.0);
  for (const char* text : {"", " 1", "1 ", "+1", "0x10", "0o17", "1_000", "1,5", "ten",
                           "9223372036854775808", "1.0", "1e3"}) {
    EXPECT_FALSE(NumberFromText<std::int64_t>(text)) << text;
  }
  for (const char* text : {"", "nan", ".nan", "inf", "-.inf", "1e999", "0x1p3", "1.5s"}) {
    EXPECT_FALSE(NumberFromText<double>(text)) << text;
  }
}

TEST(SettingsReader, ReadsNumbersAsDecimal) {
  EXPECT_EQ(ValueOf("010").AsInteger(), 10);
  EXPECT_EQ(ValueOf("0.25").AsNumber(), 0.25);
  EXPECT_THAT(MessageOf([] { ValueOf("0x10").AsInteger(); }),
              AllOf(StartsWith("my.yaml:1:6: key 'key'"), HasSubstr("a whole number is expected")));
  for (const char* text : {".nan", ".inf", "-.inf", "nan", "~", "[1]"}) {
    EXPECT_NE(MessageOf([&] { ValueOf(text).AsNumber(); }), "accepted") << text;
  }
}

TEST(SettingsReader, TakesTrueAndFalseOnly) {
  EXPECT_TRUE(ValueOf("true").AsBool());
  EXPECT_FALSE(ValueOf("false").AsBool());
  for (const char* text : {"yes", "on", "1", "True", "~"}) {
    EXPECT_NE(MessageOf([&] { ValueOf(text).AsBool(); }), "accepted") << text;
  }
}

TEST(SettingsReader, RefusesASecondDocument) {
  for (const char* yaml : {"a: 1\n---\nb: 2\n", "a: 1\n...\nb: 2\n", "---\na: 1\n---\n"}) {
    EXPECT_THAT(ParseMessage(yaml), AllOf(StartsWith("my.yaml: 2 YAML documents"))) << yaml;
  }
  EXPECT_EQ(ParseMessage("%YAML 1.2\n---\na: 1\n...\n"), "accepted");
  EXPECT_EQ(ParseMessage(""), "accepted");
}

TEST(SettingsReader, RefusesWhatFollowsAValueInsteadOfReadingItForever) {
  for (const char* yaml : {"\"a\", b\n", "a: [1], 2\n", "[]]\n", "!tag ,b: 1\n"}) {
    EXPECT_THAT(ParseMessage(yaml), AllOf(StartsWith("my.yaml:1:"), HasSubstr("not valid YAML")))
        << yaml;
  }
}

TEST(SettingsReader, RefusesPlaceholdersOfTemplates) {
  for (const char* text : {"{{ name }}", "'{{ name }}'", "stores/{{ name }}", "{{name}}"}) {
    EXPECT_THAT(MessageOf([&] { ValueOf(text).AsString(); }),
                AllOf(StartsWith("my.yaml:1:"), HasSubstr("placeholder")))
        << text;
    EXPECT_THAT(MessageOf([&] { ValueOf(text).AsInteger(); }), HasSubstr("placeholder")) << text;
  }
  EXPECT_THAT(ParseMessage("a: 1\n{% if x %}\n"),
              AllOf(StartsWith("my.yaml:2:"), HasSubstr("placeholder")));
  EXPECT_EQ(ValueOf("'{column}'").AsString(), "{column}");
}

TEST(SettingsReader, ReadsFilesWithAByteOrderMarkAndRefusesOtherEncodings) {
  const TempFolder folder;
  const auto file = folder.path() / "settings.yaml";
  const auto load = [&](std::string_view bytes) {
    std::ofstream(file, std::ios::binary) << bytes;
    return MessageOf([&] {
      YamlValue::Load(file).ReadFields({{"a", "", [](const YamlValue&) {}}});
    });
  };
  EXPECT_EQ(load("\xEF\xBB\xBF"
                 "a: 1\n"),
            "accepted");
  EXPECT_THAT(load(std::string_view("\xFF\xFE"
                                    "a\0:\0",
                                    6)),
              HasSubstr("UTF-16"));
  EXPECT_THAT(load("a: 1\n# caf\xE9\n"), HasSubstr("settings.yaml:2: not UTF-8"));
  EXPECT_THAT(MessageOf([&] { YamlValue::Load(folder.path()); }),
              HasSubstr(folder.path().string()));
  EXPECT_THAT(MessageOf([&] { YamlValue::Load(folder.path() / "none.yaml"); }),
              HasSubstr("no such file"));
}

TEST(SettingsReader, NamesUnknownAndRepeatedKeys) {
  const SettingsFields fields = {{"order", "", [](const YamlValue&) {}},
                                 {"value_bins", "", [](const YamlValue&) {}}};
  const auto read = [&](const std::string& yaml) {
    return MessageOf([&] { YamlValue::Parse(yaml, "my.yaml").ReadFields(fields); });
  };
  EXPECT_THAT(read("order: x\nvalue_bin: 3\n"), AllOf(StartsWith("my.yaml:2:1: key 'value_bin'"),
                                                      HasSubstr("did you mean 'value_bins'"),
                                                      HasSubstr("known are order, value_bins")));
  EXPECT_THAT(read("order: x\norder: y\n"),
              AllOf(StartsWith("my.yaml:2:1: "), HasSubstr("given twice")));
  EXPECT_THAT(read("? [a, b]\n: 3\n"), HasSubstr("plain names"));
  EXPECT_EQ(read(""), "accepted");
}

}  // namespace
}  // namespace sequela
