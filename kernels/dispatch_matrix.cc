// Chooses the backend of the matrix operations: gemm, attention, cross-entropy.
#include "kernels/base/check.h"
#include "kernels/cpu/cross_entropy.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cross_entropy.h"
#include "kernels/gemm.h"

namespace sequela {
namespace {

// The one place to extend when a CUDA backend exists.
void CheckIsCpu(const Exec& exec) {
  SEQUELA_CHECK(exec.backend == Backend::kCpu, "this build has no CUDA version of the operation");
}

}  // namespace

void Gemm(const Exec& exec, const GemmArgs& args) {
  CheckIsCpu(exec);
  cpu::Gemm(exec, args);
}

std::int64_t GemmWorkspaceBytes(const Exec& exec, const GemmArgs& args) {
  CheckIsCpu(exec);
  return cpu::GemmWorkspaceBytes(exec, args);
}

void PrepareGemm(const Exec& exec, const GemmArgs& args) {
  CheckIsCpu(exec);
  cpu::PrepareGemm(exec, args);
}

bool GemmHasNativeBf16(const Exec& exec) {
  CheckIsCpu(exec);
  return cpu::GemmHasNativeBf16();
}

void CrossEntropy(const Exec& exec, const CrossEntropyArgs& args) {
  CheckIsCpu(exec);
  cpu::CrossEntropy(exec, args);
}

void CrossEntropyEvaluate(const Exec& exec, const CrossEntropyEvaluateArgs& args) {
  CheckIsCpu(exec);
  cpu::CrossEntropyEvaluate(exec, args);
}

std::int64_t CrossEntropyWorkspaceBytes(const Exec& exec, std::int64_t vocabulary,
                                        std::int64_t hidden_size, DType dtype) {
  CheckIsCpu(exec);
  return cpu::CrossEntropyWorkspaceBytes(exec, vocabulary, hidden_size, dtype);
}

}  // namespace sequela
