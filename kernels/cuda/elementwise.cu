#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/elementwise_kernels.h"

namespace sequela::cuda {

template <typename From, typename To>
__device__ void CastElement(const CastParams<From, To>& p) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kElementwiseThreads + threadIdx.x;
  const std::int64_t row = i / p.columns;
  const std::int64_t column = i % p.columns;
  if (row >= p.rows) return;
  StoreFloat(p.to.Row(row) + column, LoadFloat(p.from.Row(row) + column));
}

SEQUELA_KERNEL sequela_cast_f32_bf16(CastParams<float, bf16> p) { CastElement(p); }
SEQUELA_KERNEL sequela_cast_bf16_f32(CastParams<bf16, float> p) { CastElement(p); }

}  // namespace sequela::cuda
