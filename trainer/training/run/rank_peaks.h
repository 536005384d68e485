// Peak memory of every rank: planned before the first step, and seen at the end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/training/run/prepared_run.h"

namespace sequela {

// By rank, in bytes. Collective.
std::vector<std::int64_t> PlannedPeaks(const PreparedRun& prepared);
std::vector<std::int64_t> SeenPeaks(Communicator& communicator);

// "171 MiB", or "168 to 171 MiB" where ranks differ.
std::string PeaksText(const std::vector<std::int64_t>& bytes);

}  // namespace sequela
