// Small matrix products out of registers: C [R, kVectors * lanes] = (or +=) sum_k a(r, k) b(k, :),
// what attention and packed products end in. The sum over k starts at zero and is added to C once.
// Included once per Highway target.
#if defined(SEQUELA_KERNELS_CPU_MICRO_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEQUELA_KERNELS_CPU_MICRO_PRODUCT_INL_H_
#undef SEQUELA_KERNELS_CPU_MICRO_PRODUCT_INL_H_
#else
#define SEQUELA_KERNELS_CPU_MICRO_PRODUCT_INL_H_
#endif

#include <cstdint>

#include "hwy/cache_control.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu {
namespace HWY_NAMESPACE {

// 2 * kGroupRows sums, two vectors of B and one broadcast fill the 16 or 32 registers.
#if HWY_TARGET <= HWY_AVX3
constexpr int kGroupRows = 12;
#else
constexpr int kGroupRows = 6;
#endif

HWY_INLINE std::int64_t Lanes() { return static_cast<std::int64_t>(hn::Lanes(F32())); }
HWY_INLINE std::int64_t PanelKeys() { return 2 * Lanes(); }

// The sums of R rows. A recursive struct rather than an array: compilers keep it in registers.
template <int R, int kVectors>
struct Sums {
  VF32 v0, v1;
  Sums<R - 1, kVectors> next;

  // C is fetched while the sums are formed.
  HWY_INLINE void Start(F32 d, const float* c, std::int64_t ldc) {
    v0 = hn::Zero(d);
    hwy::Prefetch(c);
    if constexpr (kVectors == 2) {
      v1 = hn::Zero(d);
      hwy::Prefetch(c + 2 * Lanes() - 1);
    }
    next.Start(d, c + ldc, ldc);
  }
  HWY_INLINE void Add(F32 d, const float* a, std::int64_t row_stride, VF32 b0, VF32 b1) {
    const auto factor = hn::Set(d, *a);
    v0 = hn::MulAdd(factor, b0, v0);
    if constexpr (kVectors == 2) v1 = hn::MulAdd(factor, b1, v1);
    next.Add(d, a + row_stride, row_stride, b0, b1);
  }
  HWY_INLINE void Finish(F32 d, float* c, std::int64_t ldc, bool accumulate) const {
    hn::StoreU(accumulate ? hn::Add(v0, hn::LoadU(d, c)) : v0, d, c);
    if constexpr (kVectors == 2) {
      hn::StoreU(accumulate ? hn::Add(v1, hn::LoadU(d, c + Lanes())) : v1, d, c + Lanes());
    }
    next.Finish(d, c + ldc, ldc, accumulate);
  }
};
template <int kVectors>
struct Sums<0, kVectors> {
  HWY_INLINE void Start(F32, const float*, std::int64_t) {}
  HWY_INLINE void Add(F32, const float*, std::int64_t, VF32, VF32) {}
  HWY_INLINE void Finish(F32, float*, std::int64_t, bool) const {}
};

// a(r, k) lies at a[r * row_stride + k * depth_stride]; one of the two strides is 1.
struct Operand {
  const float* data;
  std::int64_t stride;
};

template <int R, int kVectors, bool kTransposedA>
HWY_NOINLINE void MicroProduct(Operand a, Operand b, std::int64_t depth, float* HWY_RESTRICT c,
                               std::int64_t ldc, bool accumulate) {
  const F32 d;
  Sums<R, kVectors> sums;
  sums.Start(d, c, ldc);
  const float* HWY_RESTRICT pa = a.data;
  const float* HWY_RESTRICT pb = b.data;
  const std::int64_t row_stride = kTransposedA ? 1 : a.stride;
  const std::int64_t depth_stride = kTransposedA ? a.stride : 1;
  for (std::int64_t k = 0; k < depth; ++k) {
    const auto b0 = hn::LoadU(d, pb);
    const auto b1 = kVectors == 2 ? hn::LoadU(d, pb + Lanes()) : b0;
    sums.Add(d, pa, row_stride, b0, b1);
    pa += depth_stride;
    pb += b.stride;
  }
  sums.Finish(d, c, ldc, accumulate);
}

// Any number of rows up to kGroupRows.
template <int kVectors, bool kTransposedA, int R = kGroupRows>
HWY_INLINE void ProductOfRows(std::int64_t rows, Operand a, Operand b, std::int64_t depth, float* c,
                              std::int64_t ldc, bool accumulate) {
  if constexpr (R > 0) {
    if (rows == R) {
      MicroProduct<R, kVectors, kTransposedA>(a, b, depth, c, ldc, accumulate);
    } else {
      ProductOfRows<kVectors, kTransposedA, R - 1>(rows, a, b, depth, c, ldc, accumulate);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sequela::cpu
HWY_AFTER_NAMESPACE();
#endif
