// Whether a run fits a GPU, known before anything is allocated on it.
#pragma once

#include "trainer/training/run/run_setup.h"

namespace sequela {

// Throws InputError where the planned memory is more than the device has free, naming both and what
// would fit: fewer parallel.microbatch_tokens, or another parallel.recompute. Nothing on the CPU.
void CheckDeviceMemory(const RunSetup& setup);

}  // namespace sequela
