// ctest: labels=sanitize timeout=60
// Learning rates against values worked out by hand from the formulas.
#include "trainer/training/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sequela {
namespace {

ScheduleSection Schedule(DecayKind decay, std::int64_t warmup, double floor,
                         std::int64_t cooldown = 0) {
  ScheduleSection schedule;
  schedule.decay = decay;
  schedule.warmup_steps = warmup;
  schedule.final_learning_rate_fraction = floor;
  schedule.cooldown_steps = cooldown;
  return schedule;
}

TEST(LearningRate, WarmsUpLinearlyToThePeak) {
  const ScheduleSection s = Schedule(DecayKind::kCosine, 10, 0.0);
  EXPECT_DOUBLE_EQ(LearningRate(s, 2.0, 1, 100), 0.2);
  EXPECT_DOUBLE_EQ(LearningRate(s, 2.0, 9, 100), 1.8);
  EXPECT_DOUBLE_EQ(LearningRate(s, 2.0, 10, 100), 2.0);
}

TEST(LearningRate, CosineIsHalfWayInTheMiddleAndEndsAtTheFloor) {
  const ScheduleSection s = Schedule(DecayKind::kCosine, 20, 0.1);
  EXPECT_NEAR(LearningRate(s, 1.0, 60, 100), 0.55, 1e-12);
  EXPECT_NEAR(LearningRate(s, 1.0, 40, 100), 0.1 + 0.9 * (0.5 + std::sqrt(0.125)), 1e-12);
  EXPECT_NEAR(LearningRate(s, 1.0, 100, 100), 0.1, 1e-12);
}

TEST(LearningRate, LinearFallsByTheSameAmountEachStep) {
  const ScheduleSection s = Schedule(DecayKind::kLinear, 0, 0.0);
  for (std::int64_t step = 1; step <= 8; ++step) {
    EXPECT_NEAR(LearningRate(s, 1.0, step, 8), 1.0 - static_cast<double>(step) / 8, 1e-12);
  }
}

TEST(LearningRate, ConstantStaysAndThenCoolsDown) {
  const ScheduleSection s = Schedule(DecayKind::kConstant, 2, 0.5, 4);
  EXPECT_DOUBLE_EQ(LearningRate(s, 1.0, 3, 20), 1.0);
  EXPECT_DOUBLE_EQ(LearningRate(s, 1.0, 16, 20), 1.0);
  EXPECT_DOUBLE_EQ(LearningRate(s, 1.0, 18, 20), 0.75);
  EXPECT_DOUBLE_EQ(LearningRate(s, 1.0, 20, 20), 0.5);
  EXPECT_DOUBLE_EQ(LearningRate(Schedule(DecayKind::kConstant, 0, 0.0), 1.0, 20, 20), 1.0);
}

}  // namespace
}  // namespace sequela
