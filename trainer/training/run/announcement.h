// What is said before the first step.
#pragma once

#include <cstdint>
#include <vector>

#include "trainer/training/run/prepared_run.h"

namespace sequela {

// Logs what will be trained on which data, and the memory it takes: `planned_peaks` by rank.
void Announce(const PreparedRun& prepared, const std::vector<std::int64_t>& planned_peaks);

}  // namespace sequela
