// The CUDA versions of gemm, attention and cross-entropy; dispatch_matrix.cc has checked what the
// host can check. Everything that the arguments' views, spans and plan images point to is device
// memory. Asynchronous: results are ready once exec.stream has passed the call.
#pragma once

#include "kernels/attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/gemm.h"

namespace sequela::cuda {

void AttentionForward(const Exec& exec, const AttentionForwardArgs& args);
std::int64_t AttentionForwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape);
void AttentionBackward(const Exec& exec, const AttentionBackwardArgs& args);
std::int64_t AttentionBackwardWorkspaceBytes(const Exec& exec, const AttentionShape& shape,
                                             std::int64_t tokens);

void Gemm(const Exec& exec, const GemmArgs& args);
std::int64_t GemmWorkspaceBytes(const Exec& exec, const GemmArgs& args);
void PrepareGemm(const Exec& exec, const GemmArgs& args);
// Gemm with an algorithm that may use so many bytes of workspace, of which the choice is a function
// as of the shape; exec.workspace of at least GemmWorkspaceBytesWithin.
void GemmWithin(const Exec& exec, std::int64_t workspace_bytes, const GemmArgs& args);
std::int64_t GemmWorkspaceBytesWithin(std::int64_t workspace_bytes);

void CrossEntropy(const Exec& exec, const CrossEntropyArgs& args);
void CrossEntropyEvaluate(const Exec& exec, const CrossEntropyEvaluateArgs& args);
std::int64_t CrossEntropyWorkspaceBytes(const Exec& exec, std::int64_t vocabulary,
                                        std::int64_t hidden_size, DType dtype);

}  // namespace sequela::cuda
