// ctest: timeout=120
// TensorBoard itself reads a run's event file, whole and after a resume. Runs where SEQUELA_PYTHON
// names a Python with tensorboard; skipped elsewhere.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/base/atomic_file.h"
#include "tests/testing/temp_folder.h"
#include "trainer/training/metrics.h"

namespace sequela {
namespace {

class TensorBoardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* python = std::getenv("SEQUELA_PYTHON");
    python_ = python == nullptr ? "" : python;
    const std::string probe = fmt::format("'{}' -c 'import tensorboard' 2>/dev/null", python_);
    if (python_.empty() || std::system(probe.c_str()) != 0) {
      GTEST_SKIP() << "set SEQUELA_PYTHON to a Python with tensorboard";
    }
  }

  // Steps up to `last`, going on from `resume_step`, and an evaluation after the last.
  void Train(std::int64_t resume_step, std::int64_t last) {
    MetricsLog log(folder_.path(), resume_step, /*tensorboard=*/true,
                   /*tensorboard_every_steps=*/1);
    for (std::int64_t step = resume_step + 1; step <= last; ++step) {
      StepMetrics metrics;
      metrics.step = step;
      metrics.loss = LossOf(step);
      log.WriteStep(metrics);
    }
    const NamedNumber results[] = {{"nll_per_token", 1.5}};
    log.WriteEvaluation(last, "tuning", results);
  }
  static double LossOf(std::int64_t step) { return 4.0 / static_cast<double>(step); }

  nlohmann::json Scalars() {
    const auto out = folder_ / "scalars.json";
    const std::string command = fmt::format(
        "'{}' '{}/tests/trainer/training/tensorboard_scalars.py' '{}' >'{}' 2>/dev/null", python_,
        SEQUELA_SOURCE_DIR, folder_.path().string(), out.string());
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    return nlohmann::json::parse(ReadFile(out));
  }

  std::string python_;
  testing::TempFolder folder_;
};

TEST_F(TensorBoardTest, ReadsEveryStepOnceWithItsValue) {
  Train(0, 20);
  Train(12, 15);  // as if killed after step 20, with its last checkpoint at step 12
  const nlohmann::json scalars = Scalars();
  const nlohmann::json& losses = scalars.at("train/loss");
  ASSERT_EQ(losses.size(), 15U);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const auto step = static_cast<std::int64_t>(i) + 1;
    EXPECT_EQ(losses[i][0], step);
    EXPECT_EQ(losses[i][1].get<float>(), static_cast<float>(LossOf(step)));
  }
  EXPECT_EQ(scalars.at("tuning/nll_per_token"), nlohmann::json::parse("[[15, 1.5]]"));
}

}  // namespace
}  // namespace sequela
