// An exponential and a reciprocal with the same bits on a GPU and wherever the kernel is
// interpreted, which ex2.approx and rcp.approx do not promise, and cheap enough beside the memory's
// traffic.
#pragma once

namespace sequela::cuda {

// e^x for -87.33 <= x < 88.7, exactly 1 at 0. x = n ln 2 + f ln 2 with log2(e) in two pieces, so
// that f is right to its last place; the polynomial for 2^f on |f| <= 1/2 is off by less than 1e-8
// relative. The constants are those of kernels/cpu/simd-inl.h.
__device__ inline float ExpInRange(float x) {
  constexpr float kLog2E = 1.44269502F;
  constexpr float kLog2ERest = 1.92596299e-8F;
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
  constexpr float kShifter = 12582912.0F;
  const float shifted = fmaf(x, kLog2E, kShifter);
  const float n = shifted - kShifter;
  const float f = fmaf(x, kLog2ERest, fmaf(x, kLog2E, -n));
  float p = fmaf(1.54531634e-4F, f, 1.33908633e-3F);
  p = fmaf(p, f, 9.61808302e-3F);
  p = fmaf(p, f, 5.55035695e-2F);
  p = fmaf(p, f, 2.40226507e-1F);
  p = fmaf(p, f, 6.93147182e-1F);
  p = fmaf(p, f, 1.0F);
  return __uint_as_float(__float_as_uint(p) + (__float_as_uint(shifted) << 23));
}

// e^x for x < 88.7, exactly 1 at 0, exactly 0 below -87.33 and for a NaN.
__device__ inline float Exp(float x) {
  constexpr float kLowest = -87.33F;
  const float exp = ExpInRange(fmaxf(x, kLowest));
  return x >= kLowest ? exp : 0.0F;
}

// 1 / x, rounded correctly, for normal x below 2^126: the very instructions of the compiler's 1 / x
// without its test of the range, whose branch keeps one element's division from overlapping the
// next's. The step of Newton's ends at the correctly rounded value from the GPU's seed (hence the
// compiler's use of it) and from one that is rounded correctly itself, as where kernels are
// interpreted.
__device__ inline float ReciprocalInRange(float x) {
  float seed;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(seed) : "f"(x));
  return fmaf(seed, fmaf(-x, seed, 1.0F), seed);
}

}  // namespace sequela::cuda
