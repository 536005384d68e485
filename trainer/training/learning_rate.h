// The learning rate of every step.
#pragma once

#include <cstdint>

#include "trainer/experiment/experiment.h"

namespace sequela {

// The learning rate of step `step` (1 is the first) out of `total_steps`, as a share of the peak is
// warm-up      step / warmup_steps, up to 1 at step == warmup_steps;
// cosine       f + (1 - f) (1 + cos(pi p)) / 2, p from 0 after the warm-up to 1 at the last step;
// linear       1 - (1 - f) p;
// constant     1, and over the last cooldown_steps 1 - (1 - f) p with p over those steps;
// f = final_learning_rate_fraction. The same bits for the same arguments.
// REQUIRES: 1 <= step <= total_steps.
double LearningRate(const ScheduleSection& schedule, double peak, std::int64_t step,
                    std::int64_t total_steps);

}  // namespace sequela
