// Chooses the backend of the matrix operations: gemm, attention, cross-entropy.
#include "kernels/base/check.h"
#include "kernels/cpu/gemm.h"
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

}  // namespace sequela
