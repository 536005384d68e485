#include "trainer/model/linear.h"

#include <algorithm>
#include <array>
#include <span>

#include "kernels/bias.h"
#include "kernels/gemm.h"

namespace sequela {
namespace {

GemmArgs ForwardProduct(ConstTensorView x, ConstTensorView weight, TensorView y) {
  return {.a = x, .b = weight, .c = y, .transpose_b = true};
}

GemmArgs WeightProduct(ConstTensorView dy, ConstTensorView x, TensorView dweight) {
  return {.a = dy, .b = x, .c = dweight, .transpose_a = true, .accumulate = true};
}

GemmArgs InputProduct(ConstTensorView dy, ConstTensorView weight, TensorView dx) {
  return {.a = dy, .b = weight, .c = dx};
}

// The three products of a layer, without data: their shapes alone.
std::array<GemmArgs, 3> ProductShapes(DType dtype, std::int64_t tokens, std::int64_t in,
                                      std::int64_t out) {
  const TensorView x(nullptr, dtype, tokens, in);
  const TensorView y(nullptr, dtype, tokens, out);
  const TensorView weight(nullptr, dtype, out, in);
  const TensorView dweight(nullptr, DType::kFloat32, out, in);
  return {ForwardProduct(x, weight, y), WeightProduct(y, x, dweight), InputProduct(y, weight, x)};
}

std::span<float> Values(TensorView vector) {
  return {vector.As<float>(), static_cast<std::size_t>(vector.columns)};
}

}  // namespace

void LinearForward(const Exec& exec, FlatBuffers& buffers, const LinearPieces& pieces,
                   ConstTensorView x, TensorView y) {
  Gemm(exec, ForwardProduct(x, buffers.JoinedWeight(pieces.first, pieces.last), y));
  if (pieces.has_bias()) {
    BiasForward(exec, {.x_TD = y,
                       .bias = Values(buffers.JoinedVector(pieces.first_bias, pieces.last_bias))});
  }
}

void LinearWeightGradient(const Exec& exec, FlatBuffers& buffers, const LinearPieces& pieces,
                          ConstTensorView x, ConstTensorView dy) {
  Gemm(exec, WeightProduct(dy, x, buffers.JoinedGradient(pieces.first, pieces.last)));
  if (pieces.has_bias()) {
    BiasBackward(exec,
                 {.d_x_TD = dy,
                  .d_bias = Values(buffers.JoinedGradient(pieces.first_bias, pieces.last_bias))});
  }
}

void LinearInputGradient(const Exec& exec, FlatBuffers& buffers, const LinearPieces& pieces,
                         ConstTensorView dy, TensorView dx) {
  Gemm(exec, InputProduct(dy, buffers.JoinedWeight(pieces.first, pieces.last), dx));
}

std::int64_t LinearWorkspaceBytes(const Exec& exec, DType dtype, std::int64_t max_tokens,
                                  std::int64_t in, std::int64_t out) {
  std::int64_t bytes = BiasBackwardWorkspaceBytes(max_tokens, out);
  for (const GemmArgs& product : ProductShapes(dtype, max_tokens, in, out)) {
    bytes = std::max(bytes, GemmWorkspaceBytes(exec, product));
  }
  return bytes;
}

void PrepareLinear(const Exec& exec, DType dtype, std::int64_t tokens, std::int64_t in,
                   std::int64_t out) {
  for (const GemmArgs& product : ProductShapes(dtype, tokens, in, out)) {
    PrepareGemm(exec, product);
  }
}

}  // namespace sequela
