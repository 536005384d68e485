// Linear layers over packed rows: y = x W^T + b, where W may be several of Hugging Face's matrices
// side by side (one product for q, k, v; one for gate, up).
#pragma once

#include <cstdint>

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"
#include "runtime/parameter_table.h"
#include "trainer/model/parameter_pieces.h"

namespace sequela {

// x [T, in] and y [T, out] in the compute dtype; y is written in full.
void LinearForward(const Exec& exec, FlatBuffers& buffers, const LinearPieces& pieces,
                   ConstTensorView x, TensorView y);

// dW += dy^T x and db += the column sums of dy, in fp32.
void LinearWeightGradient(const Exec& exec, FlatBuffers& buffers, const LinearPieces& pieces,
                          ConstTensorView x, ConstTensorView dy);

// dx = dy W, written in full.
void LinearInputGradient(const Exec& exec, FlatBuffers& buffers, const LinearPieces& pieces,
                         ConstTensorView dy, TensorView dx);

// Exec::workspace that these want for at most `max_tokens` rows.
std::int64_t LinearWorkspaceBytes(const Exec& exec, DType dtype, std::int64_t max_tokens,
                                  std::int64_t in, std::int64_t out);
// Builds the primitives for `tokens` rows before the first step needs them.
void PrepareLinear(const Exec& exec, DType dtype, std::int64_t tokens, std::int64_t in,
                   std::int64_t out);

}  // namespace sequela
