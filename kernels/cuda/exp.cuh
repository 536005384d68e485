// An exponential of ordinary arithmetic alone: the same bits on a GPU and wherever the kernel is
// interpreted, which ex2.approx does not promise, and cheap enough beside the memory's traffic.
#pragma once

namespace sequela::cuda {

// e^x for x < 88.7, exactly 1 at 0, exactly 0 below -87.33 and for a NaN. x = n ln 2 + f ln 2 with
// log2(e) in two pieces, so that f is right to its last place; the polynomial for 2^f on |f| <= 1/2
// is off by less than 1e-8 relative. The constants are those of kernels/cpu/simd-inl.h.
__device__ inline float Exp(float x) {
  constexpr float kLowest = -87.33F;
  constexpr float kLog2E = 1.44269502F;
  constexpr float kLog2ERest = 1.92596299e-8F;
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
  constexpr float kShifter = 12582912.0F;
  const float clamped = fmaxf(x, kLowest);
  const float shifted = fmaf(clamped, kLog2E, kShifter);
  const float n = shifted - kShifter;
  const float f = fmaf(clamped, kLog2ERest, fmaf(clamped, kLog2E, -n));
  float p = fmaf(1.54531634e-4F, f, 1.33908633e-3F);
  p = fmaf(p, f, 9.61808302e-3F);
  p = fmaf(p, f, 5.55035695e-2F);
  p = fmaf(p, f, 2.40226507e-1F);
  p = fmaf(p, f, 6.93147182e-1F);
  p = fmaf(p, f, 1.0F);
  const float scaled = __uint_as_float(__float_as_uint(p) + (__float_as_uint(shifted) << 23));
  return x >= kLowest ? scaled : 0.0F;
}

}  // namespace sequela::cuda
