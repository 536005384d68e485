// The CPU's matrix products; contracts in kernels/gemm.h.
#pragma once

#include "kernels/gemm.h"

namespace sequela::cpu {

void Gemm(const Exec& exec, const GemmArgs& args);
std::int64_t GemmWorkspaceBytes(const Exec& exec, const GemmArgs& args);
void PrepareGemm(const Exec& exec, const GemmArgs& args);
bool GemmHasNativeBf16();

}  // namespace sequela::cpu
