// Whether a run fits a GPU, known before anything is allocated on it.
#pragma once

#include "trainer/training/run/prepared_run.h"

namespace sequela {

// Throws InputError where the planned memory is more than the device has free, naming both and what
// would fit: fewer parallel.microbatch_tokens, or another parallel.recompute. Nothing on the CPU.
void CheckFitsDevice(const PreparedRun& prepared);

}  // namespace sequela
