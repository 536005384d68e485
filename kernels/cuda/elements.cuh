// Elements of device memory as floats. bf16 is rounded to nearest, ties to even: the same bits as
// kernels/base/bf16.h, those of a NaN too (the instruction alone makes every NaN 0x7fff).
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/base/bf16.h"

namespace sequela::cuda {

__device__ inline std::uint16_t Bf16Bits(float value) {
  const std::uint16_t rounded = __bfloat16_as_ushort(__float2bfloat16_rn(value));
  const auto quiet = static_cast<std::uint16_t>((__float_as_uint(value) >> 16) | 0x40U);
  return value == value ? rounded : quiet;
}

__device__ inline float LoadFloat(const float* from) { return *from; }
__device__ inline float LoadFloat(const bf16* from) {
  return __uint_as_float(static_cast<std::uint32_t>(from->bits) << 16);
}
__device__ inline void StoreFloat(float* to, float value) { *to = value; }
__device__ inline void StoreFloat(bf16* to, float value) { to->bits = Bf16Bits(value); }

}  // namespace sequela::cuda
