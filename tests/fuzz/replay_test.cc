// ctest: labels=sanitize timeout=120
// The kept inputs of all fuzz targets, findings that were mended among them, under the rule of
// target.h. No libFuzzer takes part: any compiler builds this.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "kernels/base/atomic_file.h"
#include "tests/fuzz/target.h"

namespace sequela::testing {
namespace {

namespace fs = std::filesystem;

const fs::path& Corpus() {
  static const fs::path corpus = fs::path(SEQUELA_SOURCE_DIR) / "tests/fuzz/corpus";
  return corpus;
}

std::vector<fs::path> InputsOf(const FuzzTarget& target) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(Corpus() / target.name)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class ReplayTest : public ::testing::TestWithParam<FuzzTarget> {};

TEST_P(ReplayTest, EveryKeptInputIsAcceptedOrRefused) {
  const std::vector<fs::path> inputs = InputsOf(GetParam());
  ASSERT_FALSE(inputs.empty());
  for (const fs::path& input : inputs) {
    SCOPED_TRACE(input.string());
    EXPECT_NO_THROW(RunFuzzInput(GetParam(), ReadFile(input)));
  }
}

// A target whose inputs are all refused at their first byte tests nothing.
TEST_P(ReplayTest, InputsNamedValidAreAccepted) {
  int valid = 0;
  for (const fs::path& input : InputsOf(GetParam())) {
    if (!input.filename().string().starts_with("valid")) continue;
    EXPECT_NO_THROW(GetParam().read(ReadFile(input))) << input;
    ++valid;
  }
  EXPECT_GT(valid, 0) << "no input whose name begins with 'valid'";
}

INSTANTIATE_TEST_SUITE_P(Targets, ReplayTest,
                         ::testing::ValuesIn(FuzzTargets().begin(), FuzzTargets().end()),
                         [](const auto& target) { return std::string(target.param.name); });

TEST(ReplayTest, EveryFolderOfTheCorpusHasItsTarget) {
  std::set<std::string> folders;
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(Corpus())) {
    folders.insert(entry.path().filename().string());
  }
  for (const FuzzTarget& target : FuzzTargets()) names.insert(std::string(target.name));
  EXPECT_EQ(folders, names);
}

}  // namespace
}  // namespace sequela::testing
