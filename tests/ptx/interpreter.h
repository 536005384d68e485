// Runs, on the CPU, the PTX that nvcc emits from our own .cu files: the kernels that ship, inside
// the ordinary tests. What stands here is all that tests see of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/cuda/launch.h"

namespace sequela::ptx {

// Device memory: the host's own, at the same addresses. A kernel may touch registered memory alone.
// `initialised` false: a byte that is read before it was written is a fault. One thread at a time.
void RegisterMemory(void* begin, std::size_t bytes, bool initialised = true);
void UnregisterMemory(void* begin);

// Runs one launch to its end, the kernel's text from the build's PTX folder. A fault (an address
// outside every allocation, a race, a deadlock, a divergent .aligned instruction, ...) throws
// InternalError that names kernel, line of the PTX, block, thread and what was wrong.
void Run(const cuda::KernelLaunch& launch);

}  // namespace sequela::ptx
