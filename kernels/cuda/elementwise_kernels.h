// Casts of matrices, one element a thread.
#pragma once

#include "kernels/cuda/kernel.h"

namespace sequela::cuda {

inline constexpr int kElementwiseThreads = 256;

template <typename From, typename To>
struct CastParams {
  Rows<const From> from;
  Rows<To> to;
  std::int64_t rows;
  std::int64_t columns;
};
SEQUELA_KERNEL sequela_cast_f32_bf16(CastParams<float, bf16> p);
SEQUELA_KERNEL sequela_cast_bf16_f32(CastParams<bf16, float> p);

}  // namespace sequela::cuda
