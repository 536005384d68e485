// Matrix products by single-threaded oneDNN calls on tiles of C, for machines where those are the
// fastest there are. Contracts in kernels/gemm.h.
#pragma once

#include "kernels/gemm.h"

namespace sequela::cpu {

// REQUIRES: what Gemm requires, K > 0, C not empty; bf16 only with TileMatmulHasNativeBf16.
void GemmTiles(const Exec& exec, const GemmArgs& args);
std::int64_t GemmTilesWorkspaceBytes(const Exec& exec, const GemmArgs& args);
void PrepareGemmTiles(const Exec& exec, const GemmArgs& args);

}  // namespace sequela::cpu
