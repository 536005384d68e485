// ctest: timeout=60 arrow
// What `sequela describe` prints of a dataset small enough to count by hand, as text and with --json,
// which hold the same counts.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/testing/meds_records.h"
#include "tests/testing/program.h"

namespace sequela::testing {
namespace {

constexpr std::int64_t kSecond = MedsRecords::kSecond;
constexpr std::int64_t kDay = MedsRecords::kDay;

class DescribeCommandTest : public ::testing::Test {
 protected:
  DescribeCommandTest() {
    records_.Event(1, kStaticTime, "SEX//F").Event(1, -kDay, "MEDS_BIRTH");
    records_.Event(1, 0, "LAB", 1.5F).Event(1, 90 * kSecond, "LAB", 2.0F);
    records_.Event(1, 90 * kSecond, "NOTE", MedsFileWriter::kNoValue, "secret");
    records_.Event(2, kDay, "LAB", 2.5F).Event(2, kDay + 90 * kSecond, "MEDS_DEATH");
    records_.InFile("held_out/0.parquet").Event(3, kDay, "LAB");
    records_.Write();
    std::ofstream(records_.folder() / "data/train/notes.txt") << "no table";
  }

  std::string Describe(std::vector<std::string> options = {}) {
    options.insert(options.begin(), {"describe", records_.folder().string()});
    const ProgramResult result = RunProgram(options);
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    EXPECT_EQ(result.output.find("secret"), std::string::npos);
    return result.output;
  }

  MedsRecords records_;
};

// The words behind `begin` on the line that begins with it.
std::vector<std::string> WordsOf(const std::string& text, const std::string& begin) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(begin)) continue;
    std::istringstream rest(line.substr(begin.size()));
    return {std::istream_iterator<std::string>(rest), {}};
  }
  ADD_FAILURE() << "no line begins with '" << begin << "' in:\n" << text;
  return {};
}

using Words = std::vector<std::string>;

TEST_F(DescribeCommandTest, TheTableHasTheCountsOfEverySplitAndTheirSums) {
  const std::string text = Describe();
  EXPECT_EQ(WordsOf(text, "                    "), (Words{"train", "tuning", "held_out", "all"}));
  EXPECT_EQ(WordsOf(text, "subjects  "), (Words{"2", "0", "1", "3"}));
  EXPECT_EQ(WordsOf(text, "events  "), (Words{"7", "0", "1", "8"}));
  EXPECT_EQ(WordsOf(text, "  without a time"), (Words{"1", "0", "0", "1"}));
  EXPECT_EQ(WordsOf(text, "  with a number"), (Words{"3", "0", "0", "3"}));
  EXPECT_EQ(WordsOf(text, "  with a text only"), (Words{"1", "0", "0", "1"}));
  EXPECT_EQ(WordsOf(text, "births"), (Words{"1", "0", "0", "1"}));
  EXPECT_EQ(WordsOf(text, "deaths"), (Words{"1", "0", "0", "1"}));
  EXPECT_EQ(WordsOf(text, "distinct codes"), (Words{"5", "0", "1", "5"}));  // LAB once in all
  EXPECT_EQ(WordsOf(text, "2 files; "), (Words{"4", "codes", "are", "seen", "once"}));
  EXPECT_EQ(WordsOf(text, "  LAB "), Words{"4"});
  EXPECT_NE(text.find("notes.txt"), std::string::npos) << "what is not read is said:\n" << text;
}

TEST_F(DescribeCommandTest, JsonIsOneDocumentWithTheSameCounts) {
  const auto json = nlohmann::json::parse(Describe({"--json"}));
  EXPECT_EQ(json.at("files"), 2);
  EXPECT_EQ(json.at("codes"), 5);
  EXPECT_EQ(json.at("codes_once"), 4);
  const auto& train = json.at("splits").at("train");
  EXPECT_EQ(train.at("subjects"), 2);
  EXPECT_EQ(train.at("events"), 7);
  EXPECT_EQ(train.at("text_only"), 1);
  EXPECT_EQ(json.at("splits").at("tuning").at("subjects"), 0);
  EXPECT_EQ(json.at("splits").at("held_out").at("events"), 1);
  EXPECT_EQ(json.at("commonest_codes").at("LAB"), 4);
  EXPECT_EQ(json.at("gap_deciles_seconds").size(), 11U);
  EXPECT_EQ(json.at("gap_deciles_seconds").at(0).get<double>(), 90.0);
  ASSERT_EQ(json.at("skipped").size(), 1U);
}

TEST(DescribeCommand, AFolderWithoutDataIsRefused) {
  const TempFolder folder;
  const ProgramResult result = RunProgram({"describe", folder.path().string()});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.errors.find(folder.path().string()), std::string::npos) << result.errors;
  EXPECT_EQ(result.output, "");
}

}  // namespace
}  // namespace sequela::testing
