// Peak memory of every rank: planned before the first step, and seen at the end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/training/run/run_setup.h"

namespace sequela {

// By rank, in bytes. Collective.
std::vector<std::int64_t> PlannedPeaks(const RunSetup& setup);
std::vector<std::int64_t> SeenPeaks(Communicator& communicator);

// "171 MiB", or "168 to 171 MiB" where ranks differ.
std::string PeaksText(const std::vector<std::int64_t>& bytes);

}  // namespace sequela
