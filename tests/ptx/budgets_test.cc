// ctest: labels=ptx
// Registers, shared and local memory of every kernel that was built, against tests/ptx/budgets.txt.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <regex>
#include <sstream>

#include "tests/ptx/interpreter/table.h"

namespace sequela {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Table;
using testing::TableLine;

const std::string kTable = SEQUELA_SOURCE_DIR "/tests/ptx/budgets.txt";
const std::array<std::string, 3> kArchitectures = {"80", "90a", "100"};
constexpr std::size_t kShared = 3;  // the columns after the architectures' registers
constexpr std::size_t kLocal = 4;
constexpr std::size_t kColumns = 5;
constexpr std::int64_t kRegisterUnit = 8;  // of a thread; a warp is given 256 at a time

// From the text of `cuobjdump --dump-resource-usage`: one line a kernel, 0 registers where an
// architecture is missing.
std::map<std::string, TableLine> ParseUsage(std::istream& text) {
  static const std::regex architecture(R"(^arch = sm_(\w+))");
  static const std::regex function(R"(^\s*Function (\S+):)");
  static const std::regex usage(R"(^\s*REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+))");
  std::map<std::string, TableLine> kernels;
  std::size_t column = kArchitectures.size();
  std::string kernel;
  for (std::string line; std::getline(text, line);) {
    std::smatch match;
    if (std::regex_search(line, match, architecture)) {
      column = std::find(kArchitectures.begin(), kArchitectures.end(), match[1]) -
               kArchitectures.begin();
    } else if (std::regex_search(line, match, function)) {
      kernel = match[1];
    } else if (std::regex_search(line, match, usage) && column < kArchitectures.size()) {
      std::vector<std::int64_t>& figures = kernels[kernel].figures;
      figures.resize(kColumns);
      figures[column] = (std::stoll(match[1]) + kRegisterUnit - 1) / kRegisterUnit * kRegisterUnit;
      const std::int64_t local = std::stoll(match[2]) + std::stoll(match[4]);
      figures[kShared] = std::max<std::int64_t>(figures[kShared], std::stoll(match[3]));
      figures[kLocal] = std::max(figures[kLocal], local);
    }
  }
  return kernels;
}

// Kernels of kernels/cuda/hopper/ are named so and exist for 90a alone.
bool WantedFor(const std::string& kernel, const std::string& architecture) {
  return !kernel.ends_with("_hopper") || architecture == "90a";
}

// What is wrong, in words; empty where all is within the budgets.
std::vector<std::string> Complaints(const std::map<std::string, TableLine>& usage,
                                    const Table& budgets) {
  static const std::array<std::string, kColumns> names = {
      "registers on 80", "registers on 90a", "registers on 100", "bytes of shared memory",
      "bytes of local memory"};
  std::vector<std::string> complaints;
  for (const auto& [kernel, line] : usage) {
    for (std::size_t a = 0; a < kArchitectures.size(); ++a) {
      const bool wanted = WantedFor(kernel, kArchitectures[a]);
      if (wanted != (line.figures[a] > 0)) {
        complaints.push_back(fmt::format("{} {} built for {}", kernel, wanted ? "was not" : "is",
                                         kArchitectures[a]));
      }
    }
    const auto budget = budgets.lines.find(kernel);
    if (budget == budgets.lines.end()) {
      complaints.push_back("missing, add: " + Print(kernel, line));
      continue;
    }
    for (std::size_t i = 0; i < kColumns; ++i) {
      if (line.figures[i] > budget->second.figures[i]) {
        complaints.push_back(fmt::format("{} takes {} {}, its budget is {}", kernel,
                                         line.figures[i], names[i], budget->second.figures[i]));
      }
    }
  }
  for (const auto& [kernel, budget] : budgets.lines) {
    if (!usage.contains(kernel)) complaints.push_back(kernel + " does not exist any more");
    if (budget.figures[kLocal] > 0 && budget.reason.empty()) {
      complaints.push_back(kernel + " has a budget of local memory without a reason");
    }
  }
  return complaints;
}

std::string Output(const std::string& command) {
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  SEQUELA_CHECK(pipe != nullptr, "{} cannot be started", command);
  std::array<char, 4096> buffer{};
  for (std::size_t read = 0; (read = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    text.append(buffer.data(), read);
  }
  SEQUELA_CHECK(pclose(pipe) == 0, "{} failed", command);
  return text;
}

TEST(BudgetsTest, EveryKernelKeepsToItsBudget) {
  const std::string tool = SEQUELA_CUOBJDUMP;
  if (tool.ends_with("NOTFOUND")) {
    GTEST_SKIP() << "no cuobjdump: install NVIDIA's package cuda-cuobjdump or run launch/setup.sh "
                    "tests, then configure again";
  }
  std::istringstream text(Output("'" + tool + "' --dump-resource-usage '" SEQUELA_KERNELS "'"));
  const std::map<std::string, TableLine> usage = ParseUsage(text);
  const Table budgets = testing::ReadTable(kTable, kColumns);
  if (testing::Refreshing()) return testing::RefreshTable(kTable, budgets, usage);
  EXPECT_FALSE(usage.empty());
  const std::vector<std::string> complaints = Complaints(usage, budgets);
  EXPECT_TRUE(complaints.empty()) << fmt::format("{}", fmt::join(complaints, "\n"));
}

// The check itself, on a text of the tool's and a table for each fault.
class BudgetsCheckTest : public ::testing::Test {
 protected:
  static std::vector<std::string> Check(const std::string& table) {
    std::istringstream lines(table);
    return Complaints(Usage(), testing::ParseTable(lines, kColumns));
  }
  static std::map<std::string, TableLine> Usage() {
    std::string text;
    for (const std::string& architecture : kArchitectures) {
      text += "Fatbin elf code:\n================\narch = sm_" + architecture +
              "\ncode version = [1,8]\n\nResource usage:\n Common:\n  GLOBAL:0\n"
              " Function sequela_one:\n"
              "  REG:41 STACK:16 SHARED:1024 LOCAL:0 CONSTANT[0]:400 TEXTURE:0 SURFACE:0\n";
    }
    std::istringstream stream(text);
    return ParseUsage(stream);
  }
};

TEST_F(BudgetsCheckTest, ReadsTheTool) {
  EXPECT_EQ(Usage().at("sequela_one").figures, (std::vector<std::int64_t>{48, 48, 48, 1024, 16}));
}

TEST_F(BudgetsCheckTest, IsContentWithinTheBudget) {
  EXPECT_THAT(Check("sequela_one 48 56 48 1024 16  # an array that is indexed"), ElementsAre());
}

TEST_F(BudgetsCheckTest, RefusesGrowth) {
  EXPECT_THAT(Check("sequela_one 48 40 48 1024 16  # why"),
              ElementsAre(HasSubstr("takes 48 registers on 90a, its budget is 40")));
  EXPECT_THAT(Check("sequela_one 48 48 48 1000 16  # why"),
              ElementsAre(HasSubstr("takes 1024 bytes of shared memory")));
  EXPECT_THAT(Check("sequela_one 48 48 48 1024 0"),
              ElementsAre(HasSubstr("takes 16 bytes of local memory")));
}

TEST_F(BudgetsCheckTest, RefusesKernelsThatAnArchitectureHasNotOrMustNotHave) {
  std::map<std::string, TableLine> usage;
  usage["sequela_one"].figures = {48, 0, 48, 0, 0};
  usage["sequela_one_hopper"].figures = {0, 48, 48, 0, 0};
  std::istringstream table("sequela_one 48 48 48 0 0\nsequela_one_hopper 48 48 48 0 0");
  EXPECT_THAT(
      Complaints(usage, testing::ParseTable(table, kColumns)),
      ElementsAre("sequela_one was not built for 90a", "sequela_one_hopper is built for 100"));
}

TEST_F(BudgetsCheckTest, RefusesLocalMemoryWithoutAReason) {
  EXPECT_THAT(Check("sequela_one 48 48 48 1024 16"), ElementsAre(HasSubstr("without a reason")));
}

TEST_F(BudgetsCheckTest, RefusesKernelsThatAreMissingOnEitherSide) {
  EXPECT_THAT(Check("sequela_two 48 48 48 1024 0"),
              ElementsAre(HasSubstr("missing, add: sequela_one"),
                          HasSubstr("sequela_two does not exist any more")));
}

}  // namespace
}  // namespace sequela
