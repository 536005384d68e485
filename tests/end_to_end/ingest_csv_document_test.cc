// ctest: timeout=120 arrow
// docs/ingest-csv.md is true: its example works as pasted and prints what it says, and --json counts
// the same. That its tables have every key is tests/dataio/ingest/every_setting_test.cc's.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>

#include "kernels/base/atomic_file.h"
#include "tests/testing/program.h"
#include "tests/testing/temp_folder.h"

namespace sequela::testing {
namespace {

namespace fs = std::filesystem;

std::string Document() { return ReadFile(std::string(SEQUELA_SOURCE_DIR) + "/docs/ingest-csv.md"); }

// What stands between the first line `open` from `*at` on and the next ```; `*at` is left behind it.
std::string Block(const std::string& text, const std::string& open, std::size_t* at) {
  const std::size_t begin = text.find("\n" + open + "\n", *at) + open.size() + 2;
  const std::size_t end = text.find("\n```\n", begin) + 1;
  *at = end + 3;
  return text.substr(begin, end - begin);
}

// Times differ from run to run.
std::string WithoutSeconds(const std::string& text) {
  return std::regex_replace(text, std::regex("[0-9]+\\.[0-9] s\n"), "X s\n");
}

// Runs a shell script in `folder`, `sequela` being the program under test.
std::string Shell(const std::string& script, const fs::path& folder) {
  std::ofstream(folder / "script.sh")
      << "set -e\ncd '" << folder.string() << "'\nPATH='"
      << fs::path(SEQUELA_PROGRAM).parent_path().string() << "':$PATH\n"
      << script;
  const fs::path output = folder / "output.txt";
  const std::string command =
      "sh '" + (folder / "script.sh").string() + "' > '" + output.string() + "'";
  EXPECT_EQ(std::system(command.c_str()), 0);
  return ReadFile(output);
}

TEST(IngestCsvDocumentTest, ItsExampleWorksAsPastedAndPrintsWhatItSays) {
  const std::string document = Document();
  std::size_t at = 0;
  const std::string script = Block(document, "```sh", &at);
  const std::string printed = Block(document, "```", &at);
  TempFolder folder;
  EXPECT_EQ(WithoutSeconds(Shell(script, folder.path())), WithoutSeconds(printed));
  const auto counts = nlohmann::json::parse(
      Shell("sequela ingest-csv mapping.yaml --out again --json\n", folder.path()));
  const auto& tables = counts.at("tables");
  ASSERT_EQ(tables.size(), 3U);
  EXPECT_EQ(tables[0].at("file"), "patients.csv");
  EXPECT_EQ(tables[0].at("rows"), 3);
  EXPECT_EQ(tables[0].at("events"), 7);
  EXPECT_EQ(tables[0].at("skipped"), 2);
  for (const char* reason :
       {"no_subject", "unknown_key", "no_time", "unreadable_time", "outside_stay", "no_number"}) {
    EXPECT_EQ(tables[0].at("lost").at(reason), 0) << reason;
  }
  const auto& events = counts.at("events");
  EXPECT_EQ(events.at("train").get<int>() + events.at("tuning").get<int>() +
                events.at("held_out").get<int>(),
            15);
  // Birth, death, two sexes, three tests and three diagnoses.
  EXPECT_EQ(counts.at("codes"), 10);
}

TEST(IngestCsvDocumentTest, LittleMemoryIsRefusedAndNoFault) {
  const ProgramResult result =
      RunProgram({"ingest-csv", std::string(SEQUELA_SOURCE_DIR) + "/configs/eicu_demo.yaml",
                  "--out", "none", "--memory", "2"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.errors.find("at least 64MiB"), std::string::npos) << result.errors;
}

}  // namespace
}  // namespace sequela::testing
