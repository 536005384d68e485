// Elementwise dropout whose mask is a function of what is dropped alone: of (seed, purpose, step)
// and of the element's document, position within it and channel. So it is the same for any packing
// of the documents, any rank, any number of threads, in recomputation and in backward. T tokens, D
// documents, C channels.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"
#include "kernels/layout/dropout_mask.h"

namespace sequela {

// An element is dropped where its word is below this: rate in units of 2^-32.
inline std::uint32_t DropoutThreshold(double rate) {
  return static_cast<std::uint32_t>(rate * 0x1.0p32);
}

// x -> x / (1 - rate) where kept, 0 where dropped. Backward is the same function on the gradient.
struct DropoutArgs {
  ConstTensorView x_TC;                          // fp32 or bf16; read
  TensorView out_TC;                             // x's dtype; written in full; may be x's memory
  std::span<const std::int64_t> sample;          // [D] name of the document (Batch::sample)
  std::span<const std::int32_t> document_begin;  // [D + 1], from 0 to T
  std::span<const std::int32_t> position;        // [T] index within the document
  std::uint64_t key;                             // DropoutKey
  double rate;                                   // 0 <= rate < 1
};
void Dropout(const Exec& exec, const DropoutArgs& args);

}  // namespace sequela
