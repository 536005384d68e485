// The CUDA versions of all operations, in a build without CUDA. Nothing offers such a device there,
// so that a call is our own mistake.
#if !defined(SEQUELA_WITH_CUDA)

#include "kernels/base/check.h"
#include "kernels/cuda/matrix.h"
#include "kernels/cuda/rowwise.h"

namespace sequela::cuda {
namespace {

[[noreturn]] void Missing() { SEQUELA_CHECK(false, "this build has no CUDA backend"); }

}  // namespace

void EmbeddingForward(const Exec&, const EmbeddingForwardArgs&) { Missing(); }
void EmbeddingBackward(const Exec&, const EmbeddingBackwardArgs&) { Missing(); }
void RmsNormForward(const Exec&, const RmsNormForwardArgs&) { Missing(); }
void RmsNormBackward(const Exec&, const RmsNormBackwardArgs&) { Missing(); }
void TimeRopeForward(const Exec&, const TimeRopeArgs&) { Missing(); }
void TimeRopeBackward(const Exec&, const TimeRopeArgs&) { Missing(); }
void SwigluForward(const Exec&, const SwigluForwardArgs&) { Missing(); }
void SwigluBackward(const Exec&, const SwigluBackwardArgs&) { Missing(); }
void BiasForward(const Exec&, const BiasForwardArgs&) { Missing(); }
void BiasBackward(const Exec&, const BiasBackwardArgs&) { Missing(); }
void Dropout(const Exec&, const DropoutArgs&) { Missing(); }
void Adamw(const Exec&, const AdamwArgs&) { Missing(); }
void TileSquareSums(const Exec&, const TileSquareSumsArgs&) { Missing(); }
void Cast(const Exec&, const CastArgs&) { Missing(); }
void Add(const Exec&, const AddArgs&) { Missing(); }
void FillZero(const Exec&, const FillZeroArgs&) { Missing(); }
void AttentionForward(const Exec&, const AttentionForwardArgs&) { Missing(); }
std::int64_t AttentionForwardWorkspaceBytes(const Exec&, const AttentionShape&) { Missing(); }
void AttentionBackward(const Exec&, const AttentionBackwardArgs&) { Missing(); }
std::int64_t AttentionBackwardWorkspaceBytes(const Exec&, const AttentionShape&, std::int64_t) {
  Missing();
}
void Gemm(const Exec&, const GemmArgs&) { Missing(); }
std::int64_t GemmWorkspaceBytes(const Exec&, const GemmArgs&) { Missing(); }
void PrepareGemm(const Exec&, const GemmArgs&) { Missing(); }
void CrossEntropy(const Exec&, const CrossEntropyArgs&) { Missing(); }
void CrossEntropyEvaluate(const Exec&, const CrossEntropyEvaluateArgs&) { Missing(); }
std::int64_t CrossEntropyWorkspaceBytes(const Exec&, std::int64_t, std::int64_t, DType) {
  Missing();
}

}  // namespace sequela::cuda

#endif  // SEQUELA_WITH_CUDA
