// Matrix products by our own micro-kernels on packed operands: what gemm.cc takes where oneDNN has
// no good ones. Contracts in kernels/gemm.h; in addition each number of C is one chain of sums over
// K, cut at places that K alone decides, so that not even the shape of the rest changes a bit.
#pragma once

#include "kernels/gemm.h"

namespace sequela::cpu {

// REQUIRES: what Gemm requires, K > 0, C not empty.
void GemmPacked(const Exec& exec, const GemmArgs& args);
std::int64_t GemmPackedWorkspaceBytes(const Exec& exec, const GemmArgs& args);

}  // namespace sequela::cpu
