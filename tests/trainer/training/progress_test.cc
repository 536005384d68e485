// ctest: labels=sanitize
#include "trainer/training/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sequela {
namespace {

using ::testing::HasSubstr;

TEST(Progress, ALossIsTheMeanOfTheStepsSinceTheLastLine) {
  Progress progress(10, 100);
  progress.AddStep(1.0, 1000, 4.0);
  progress.AddStep(1.0, 1000, 2.0);
  EXPECT_THAT(progress.Line(), HasSubstr("step 12/100  loss 3.0000"));
  progress.BeginLine();
  progress.AddStep(1.0, 1000, 1.0);
  EXPECT_THAT(progress.Line(), HasSubstr("step 13/100  loss 1.0000"));
}

TEST(Progress, ALineFitsATerminalAndSaysWhatIsLeft) {
  Progress progress(0, 123'456'789);
  progress.SetTuning(1234.5678);
  progress.AddStep(0.25, 987'654'321'000, 1234.56789);
  EXPECT_LE(progress.Line().size(), 80U) << progress.Line();
  Progress short_run(0, 62);
  short_run.AddStep(2.0, 28'400, 1.0);
  EXPECT_THAT(short_run.Line(), HasSubstr("14.2k tokens/s  2m02s left"));
}

}  // namespace
}  // namespace sequela
