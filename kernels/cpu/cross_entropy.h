// The CPU's cross-entropy; contracts in kernels/cross_entropy.h.
#pragma once

#include "kernels/cross_entropy.h"

namespace sequela::cpu {

void CrossEntropy(const Exec& exec, const CrossEntropyArgs& args);
void CrossEntropyEvaluate(const Exec& exec, const CrossEntropyEvaluateArgs& args);
std::int64_t CrossEntropyWorkspaceBytes(const Exec& exec, std::int64_t vocabulary,
                                        std::int64_t hidden_size, DType dtype);

}  // namespace sequela::cpu
