#include "trainer/training/learning_rate.h"

#include <cmath>
#include <numbers>

#include "kernels/base/check.h"

namespace sequela {

double LearningRate(const ScheduleSection& schedule, double peak, std::int64_t step,
                    std::int64_t total_steps) {
  SEQUELA_CHECK(step >= 1 && step <= total_steps, "step {} of {}", step, total_steps);
  if (step < schedule.warmup_steps) {
    return peak * static_cast<double>(step) / static_cast<double>(schedule.warmup_steps);
  }
  const std::int64_t decay_begin = schedule.decay == DecayKind::kConstant
                                       ? total_steps - schedule.cooldown_steps
                                       : schedule.warmup_steps;
  if (step <= decay_begin) return peak;
  const double progress =
      static_cast<double>(step - decay_begin) / static_cast<double>(total_steps - decay_begin);
  const double floor = schedule.final_learning_rate_fraction;
  if (schedule.decay == DecayKind::kCosine) {
    return peak * (floor + (1.0 - floor) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
  }
  return peak * (1.0 - (1.0 - floor) * progress);
}

}  // namespace sequela
