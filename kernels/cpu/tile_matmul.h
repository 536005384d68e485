// One tile of a matrix product on one thread: what gemm_tiles.cc cuts its work into. Implemented by
// oneDNN (gemm_onednn.cc, the only file that knows that library).
#pragma once

#include <cstdint>

#include "kernels/base/dtype.h"

namespace sequela::cpu {

// C [m, n] = (or +=) op(A) [m, k] op(B) [k, n]. A leading dimension is the distance between stored
// rows, in elements.
struct TileShape {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t lda = 0, ldb = 0, ldc = 0;
  bool transpose_a = false, transpose_b = false, accumulate = false;
  DType dtype_ab = DType::kFloat32;
  DType dtype_c = DType::kFloat32;

  bool operator==(const TileShape&) const = default;
};

// A ready primitive; lives as long as the program. Safe for concurrent use.
class TileMatmul;

// Finds or builds the primitive. Safe for concurrent use; building takes about a millisecond.
const TileMatmul& FindTileMatmul(const TileShape& shape);

// Scratch that RunTileMatmul wants, 64-byte aligned.
std::int64_t TileMatmulScratchBytes(const TileMatmul& matmul);

// Runs on the calling thread alone.
void RunTileMatmul(const TileMatmul& matmul, const void* a, const void* b, void* c, void* scratch);

// Whether bf16 tiles run on bf16 instructions; FindTileMatmul takes bf16 only then.
bool TileMatmulHasNativeBf16();

// Whether fp32 tiles run on AVX-512, where small ones lose nothing.
bool TileMatmulHasAvx512();

}  // namespace sequela::cpu
