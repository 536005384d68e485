// How the CUDA attention decides; the operations themselves are declared in matrix.h.
#pragma once

#include "kernels/attention.h"

namespace sequela::cuda {

// Whether the tensor-core kernels run, by the rule in kernels/attention.h, or the plain ones.
bool AttentionUsesTensorCores(const AttentionForwardArgs& args);
bool AttentionUsesTensorCores(const AttentionBackwardArgs& args);

}  // namespace sequela::cuda
