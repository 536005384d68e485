// ctest: timeout=120
// The store as others see it: the example of CHAIN_FORMAT.md and an independent reader, both in
// Python with h5py. SEQUELA_PYTHON names the interpreter; without one that has h5py the tests are
// skipped.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "dataio/store/chain_store.h"
#include "dataio/store/store_summary.h"
#include "kernels/base/atomic_file.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_store.h"

namespace sequela {
namespace {

struct CommandResult {
  std::string output;
  int status = 0;
};

CommandResult RunCommand(const std::string& command) {
  CommandResult result;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.output.append(buffer.data(), count);
  }
  result.status = ::pclose(pipe);
  return result;
}

class ChainFormatTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* python = std::getenv("SEQUELA_PYTHON");
    python_ = python != nullptr ? python : "python3";
    if (RunCommand(python_ + " -c 'import h5py, numpy' 2>/dev/null").status != 0) {
      GTEST_SKIP() << python_ << " has no h5py; name one that has in SEQUELA_PYTHON";
    }
    testing::WriteTinyStore(temp_ / "store", {.subjects = 25, .shards = 3});
  }
  std::string StorePath() const { return (temp_ / "store").string(); }

  testing::TempFolder temp_;
  std::string python_;
};

TEST_F(ChainFormatTest, TheDocumentedExampleRuns) {
  const std::string text = ReadFile(std::string(SEQUELA_SOURCE_DIR) + "/dataio/CHAIN_FORMAT.md");
  const std::size_t begin = text.find("```python\n") + 10;
  const std::size_t end = text.find("```", begin);
  ASSERT_NE(end, std::string::npos);
  std::ofstream(temp_ / "example.py") << text.substr(begin, end - begin);
  const CommandResult result =
      RunCommand(python_ + " " + (temp_ / "example.py").string() + " " + StorePath());
  ASSERT_EQ(result.status, 0) << result.output;
  const ChainStore store = ChainStore::Open(temp_ / "store");
  std::int64_t events = 0;
  for (const auto& split : Summarize(store).by_split) events += split.events;
  EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), events);
}

TEST_F(ChainFormatTest, AnIndependentReaderCountsTheSame) {
  const CommandResult result = RunCommand(python_ + " " + std::string(SEQUELA_SOURCE_DIR) +
                                          "/tests/dataio/store/store_summary.py " + StorePath());
  ASSERT_EQ(result.status, 0) << result.output;
  const nlohmann::json found = nlohmann::json::parse(result.output);
  const StoreSummary summary = Summarize(ChainStore::Open(temp_ / "store"));
  for (const Split split : {Split::kTrain, Split::kTuning, Split::kHeldOut}) {
    const auto& expected = summary.by_split[static_cast<std::size_t>(split)];
    const nlohmann::json& facts = found["splits"][std::string(NameOf(split))];
    EXPECT_EQ(facts["subjects"], expected.subjects);
    EXPECT_EQ(facts["events"], expected.events);
    EXPECT_EQ(facts["tokens"], expected.tokens);
  }
  for (std::size_t kind = 0; kind < summary.by_kind.size(); ++kind) {
    const std::string name(NameOf(static_cast<TokenKind>(kind)));
    EXPECT_EQ(found["occurrences"][name], summary.by_kind[kind].occurrences) << name;
  }
  EXPECT_EQ(found["values"], summary.values);
}

}  // namespace
}  // namespace sequela
