// ctest: labels=slow timeout=300 arrow
// docs/examples/open_checkpoint.py gives the figure of `sequela evaluate`: windows, times and
// weights mean the same to a reader who has this repository's documents alone. Skipped where
// SEQUELA_PYTHON names no Python with torch, transformers and h5py.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/testing/tiny_world.h"

namespace sequela {
namespace {

using testing::TinyWorld;

class OpenCheckpointTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const char* python = std::getenv("SEQUELA_PYTHON");
    const std::string probe = fmt::format("'{}' -c 'import torch, transformers, h5py' 2>/dev/null",
                                          python != nullptr ? python : "");
    if (python == nullptr || std::system(probe.c_str()) != 0) {
      GTEST_SKIP() << "set SEQUELA_PYTHON to a Python with torch, transformers and h5py";
    }
  }
};

TEST_P(OpenCheckpointTest, TheExamplePrintsWhatEvaluateFinds) {
  const TinyWorld world(60);
  // Every chain lies in one window, which is what the example reads.
  const auto trained = testing::RunProgram(world.TrainArguments(
      "run", {"data.context_length=4096", "data.global_batch_tokens=8192",
              std::string("model.position=") + GetParam(), "schedule.steps=8"}));
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  const std::string run = world.folder() / "run";
  const auto evaluated = testing::RunProgram({"evaluate", run, "--newest", "--json"});
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated.errors;
  const auto report = nlohmann::json::parse(evaluated.output);
  const std::string printed = world.folder() / "printed";
  const std::string command = fmt::format(
      "HF_HOME='{}' HF_HUB_OFFLINE=1 '{}' '{}/docs/examples/open_checkpoint.py' "
      "'{}/checkpoints/{}' '{}' > '{}'",
      (world.folder() / "cache").string(), std::getenv("SEQUELA_PYTHON"), SEQUELA_SOURCE_DIR, run,
      testing::NewestCheckpoint(run), world.store(), printed);
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  std::ifstream file(printed);
  std::int64_t targets = 0;
  std::string word;
  double nll = 0.0;
  file >> targets >> word >> nll;
  EXPECT_EQ(targets, report.at("targets").get<std::int64_t>());
  EXPECT_NEAR(nll, report.at("nll_per_token").get<double>(), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Positions, OpenCheckpointTest, ::testing::Values("index", "time", "both"),
                         [](const auto& position) { return std::string(position.param); });

}  // namespace
}  // namespace sequela
