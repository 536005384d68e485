// Single instructions of sm_80 for which C++ has no name and which are not about matrices.
#pragma once

#include <cstdint>

namespace sequela::cuda {

// 2^x, about two units in the last place; 2^-inf = 0.
__device__ inline float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

// Two floats as bf16, `low` in the lower half; rounded to nearest, ties to even.
__device__ inline std::uint32_t PackBf16(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

}  // namespace sequela::cuda
