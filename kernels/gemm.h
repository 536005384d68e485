// Matrix products: C = op(A) op(B), or C += op(A) op(B). The three of a linear layer y = x W^T,
// where W is [out, in] and x, y are packed streams of T tokens:
//   y_TO  = x_TI W_OI^T        transpose_b
//   dx_TI = dy_TO W_OI
//   dW_OI += dy_TO^T x_TI      transpose_a, accumulate: the sum over tokens is in fp32
// The result is a function of the shapes and the numbers alone: the work is cut into tiles by
// shape, sums over tokens at fixed places, so that any number of threads gives the same bits. A row
// of C never depends on another row of op(A).
// On CUDA cuBLASLt multiplies; its algorithm follows from the shapes, the strides and the alignment
// of the addresses up to 16 bytes, so that the same call gives the same bits on the same kind of
// device, whatever ran before, but a row's bits may differ between two numbers of rows.
#pragma once

#include <cstdint>

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"

namespace sequela {

// Views are borrowed for the call. The shapes (not the data) decide the workspace and the
// primitives.
struct GemmArgs {
  ConstTensorView a;         // [M, K], or [K, M] with transpose_a; fp32 or bf16; any stride
  ConstTensorView b;         // [K, N], or [N, K] with transpose_b; the dtype of a
  TensorView c;              // [M, N]; fp32, or bf16 where a and b are bf16; may not overlap a or b
  bool transpose_a = false;  // K then counts tokens: c must be fp32; not with transpose_b
  bool transpose_b = false;
  bool accumulate = false;  // C += ...; c must be fp32
};

// REQUIRES: shapes that agree, the dtypes above, Exec::workspace of at least GemmWorkspaceBytes. M,
// N and K may be 0 (K = 0 gives zeros, or C unchanged with accumulate). Products of bf16 are summed
// in fp32 and rounded once.
void Gemm(const Exec& exec, const GemmArgs& args);

// Workspace that Gemm wants for these shapes with this many threads. Never falls when M, N or K
// grow in an operand that counts tokens, so that planning with the largest batch suffices. On CUDA
// 32 MiB for every shape.
std::int64_t GemmWorkspaceBytes(const Exec& exec, const GemmArgs& args);

// Builds what Gemm would otherwise build at its first call with such shapes (about a millisecond).
// Data pointers may be null. One thread at a time.
void PrepareGemm(const Exec& exec, const GemmArgs& args);

// Whether bf16 products run on bf16 instructions here. Elsewhere tiles are widened to fp32, which
// is exact and gives fp32's speed.
bool GemmHasNativeBf16(const Exec& exec);

}  // namespace sequela
