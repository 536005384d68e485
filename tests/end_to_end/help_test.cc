// ctest: timeout=120 arrow mpi
// What --help prints: it fits a terminal of 80 columns, and docs/commands.md shows it as it is.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/base/atomic_file.h"
#include "tests/testing/program.h"

namespace sequela {
namespace {

const std::vector<std::string>& Commands() {
  static const std::vector<std::string> commands = {"simulate",   "oracle", "describe",
                                                    "ingest-csv", "ingest", "verify",
                                                    "inspect",    "train",  "evaluate"};
  return commands;
}

void ExpectFits(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << line;
}

TEST(HelpTest, FitsATerminal) {
  const testing::ProgramResult list = testing::RunProgram({"--help"});
  EXPECT_EQ(list.exit_code, 0);
  ExpectFits(list.output);
  for (const std::string& command : Commands()) {
    EXPECT_THAT(list.output, ::testing::HasSubstr("\n  " + command + " "));
    ExpectFits(testing::RunProgram({command, "--help"}).output);
  }
}

TEST(HelpTest, TheDocumentShowsIt) {
  const std::string document =
      ReadFile(std::filesystem::path(SEQUELA_SOURCE_DIR) / "docs/commands.md");
  for (const std::string& command : Commands()) {
    const std::string help = testing::RunProgram({command, "--help"}).output;
    const std::string section = fmt::format("## sequela {}\n```\n{}```\n", command, help);
    EXPECT_THAT(document, ::testing::HasSubstr(section)) << command;
  }
}

}  // namespace
}  // namespace sequela
