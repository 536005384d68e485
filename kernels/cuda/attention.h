// How the CUDA attention decides; the operations themselves are declared in matrix.h.
#pragma once

#include "kernels/attention.h"

namespace sequela::cuda {

// Two families of kernels compute the same operation:
//   tensor cores  bf16, head size 64 or 128, no dropout, every row of every view but lse at a
//                 multiple of 16 bytes
//   plain         everything else: several times slower
bool AttentionUsesTensorCores(const AttentionForwardArgs& args);
bool AttentionUsesTensorCores(const AttentionBackwardArgs& args);

}  // namespace sequela::cuda
