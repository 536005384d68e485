// The CPU's attention; contracts in kernels/attention.h.
#pragma once

#include "kernels/attention.h"

namespace sequela::cpu {

void AttentionForward(const Exec& exec, const AttentionForwardArgs& args);
std::int64_t AttentionForwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape);
void AttentionBackward(const Exec& exec, const AttentionBackwardArgs& args);
std::int64_t AttentionBackwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape,
                                             std::int64_t longest_document);

}  // namespace sequela::cpu
