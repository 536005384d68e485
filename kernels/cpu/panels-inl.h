// Packing for micro products: rows of k numbers become panels [k][PanelKeys()]. Included once per
// Highway target.
#if defined(SEQUELA_KERNELS_CPU_PANELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEQUELA_KERNELS_CPU_PANELS_INL_H_
#undef SEQUELA_KERNELS_CPU_PANELS_INL_H_
#else
#define SEQUELA_KERNELS_CPU_PANELS_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/micro_product-inl.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu {
namespace HWY_NAMESPACE {

// to[k * width + j] = from[j * stride + k] for four j and four k.
template <typename T>
HWY_INLINE void Transpose4x4(const T* from, std::int64_t stride, float* to, std::int64_t width) {
#if HWY_TARGET == HWY_SCALAR  // has no vectors of four
  for (int i = 0; i < 16; ++i) to[i % 4 * width + i / 4] = LoadOne(from + i / 4 * stride + i % 4);
#else
  const hn::CappedTag<float, 4> d;
  const auto r0 = LoadFloats(d, from), r1 = LoadFloats(d, from + stride);
  const auto r2 = LoadFloats(d, from + 2 * stride), r3 = LoadFloats(d, from + 3 * stride);
  const auto low01 = hn::InterleaveLower(d, r0, r1), low23 = hn::InterleaveLower(d, r2, r3);
  const auto high01 = hn::InterleaveUpper(d, r0, r1), high23 = hn::InterleaveUpper(d, r2, r3);
  hn::StoreU(hn::ConcatLowerLower(d, low23, low01), d, to);
  hn::StoreU(hn::ConcatUpperUpper(d, low23, low01), d, to + width);
  hn::StoreU(hn::ConcatLowerLower(d, high23, high01), d, to + 2 * width);
  hn::StoreU(hn::ConcatUpperUpper(d, high23, high01), d, to + 3 * width);
#endif
}

// `rows` rows of `depth` numbers, `stride` apart, with zeros for the rows that the last panel
// lacks.
template <typename T>
HWY_INLINE void PackPanels(const T* from, std::int64_t stride, std::int64_t rows,
                           std::int64_t depth, float* HWY_RESTRICT to) {
  const std::int64_t width = PanelKeys();
  for (std::int64_t first = 0; first < rows; first += width, to += width * depth) {
    const std::int64_t count = std::min(width, rows - first);
    if (count < width) std::fill(to, to + width * depth, 0.0F);
    for (std::int64_t j = 0; j < count; j += 4) {
      const T* source = from + (first + j) * stride;
      std::int64_t i = 0;
      for (; j + 4 <= count && i + 4 <= depth; i += 4) {
        Transpose4x4(source + i, stride, to + i * width + j, width);
      }
      for (; i < depth; ++i) {
        for (std::int64_t rest = 0; rest < std::min<std::int64_t>(4, count - j); ++rest) {
          to[i * width + j + rest] = LoadOne(source + rest * stride + i);
        }
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sequela::cpu
HWY_AFTER_NAMESPACE();
#endif
