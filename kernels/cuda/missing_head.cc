#include "kernels/base/check.h"
#include "kernels/cuda/matrix.h"

namespace sequela::cuda {
namespace {
[[noreturn]] void Missing() { SEQUELA_CHECK(false, "not written yet"); }
}  // namespace
void Gemm(const Exec&, const GemmArgs&) { Missing(); }
std::int64_t GemmWorkspaceBytes(const Exec&, const GemmArgs&) { Missing(); }
void PrepareGemm(const Exec&, const GemmArgs&) { Missing(); }
void CrossEntropy(const Exec&, const CrossEntropyArgs&) { Missing(); }
void CrossEntropyEvaluate(const Exec&, const CrossEntropyEvaluateArgs&) { Missing(); }
std::int64_t CrossEntropyWorkspaceBytes(const Exec&, std::int64_t, std::int64_t, DType) {
  Missing();
}
}  // namespace sequela::cuda
