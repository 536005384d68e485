// What the vector loops share. Included once per instruction set, after hwy/highway.h, by a file
// that foreach_target.h compiles again and again; hence no ordinary include guard.
#if defined(SEQUELA_KERNELS_CPU_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEQUELA_KERNELS_CPU_ROWS_INL_H_
#undef SEQUELA_KERNELS_CPU_ROWS_INL_H_
#else
#define SEQUELA_KERNELS_CPU_ROWS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu::HWY_NAMESPACE {

HWY_INLINE std::int64_t NumLanes() { return static_cast<std::int64_t>(hn::Lanes(F32())); }

// A vector's worth of elements: all lanes, or the first `count`, the end of a row. Lanes beyond the
// end are read as 0 and not written.
struct AllLanes {};
struct FirstLanes {
  std::size_t count;
};

template <typename T>
HWY_INLINE VF32 Load(const T* from, AllLanes /*lanes*/) {
  return LoadFloats(F32(), from);
}
template <typename T>
HWY_INLINE void Store(VF32 value, T* to, AllLanes /*lanes*/) {
  StoreFloats(F32(), value, to);
}
template <typename T>
HWY_INLINE VF32 Load(const T* from, FirstLanes lanes) {
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(float)] = {};
  std::memcpy(buffer, from, lanes.count * sizeof(T));
  return Load(buffer, AllLanes());
}
template <typename T>
HWY_INLINE void Store(VF32 value, T* to, FirstLanes lanes) {
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(float)];
  Store(value, buffer, AllLanes());
  std::memcpy(to, buffer, lanes.count * sizeof(T));
}

// body(i, lanes) for every vector of a row of n elements. Give a body HWY_ATTR after its
// parameters.
template <typename Body>
HWY_INLINE void ForVectors(std::int64_t n, const Body& body) {
  const std::int64_t step = NumLanes();
  std::int64_t i = 0;
  for (; i + step <= n; i += step) body(i, AllLanes());
  if (i < n) body(i, FirstLanes{static_cast<std::size_t>(n - i)});
}

// The sum of term(i, lanes) over a row. Four sums side by side hide the latency of the addition.
// A term must be 0 in lanes that were read as 0.
template <typename Term>
HWY_INLINE float SumVectors(std::int64_t n, const Term& term) {
  const F32 d;
  const std::int64_t step = NumLanes();
  VF32 s0 = hn::Zero(d);
  VF32 s1 = hn::Zero(d);
  VF32 s2 = hn::Zero(d);
  VF32 s3 = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    s0 = hn::Add(s0, term(i, AllLanes()));
    s1 = hn::Add(s1, term(i + step, AllLanes()));
    s2 = hn::Add(s2, term(i + 2 * step, AllLanes()));
    s3 = hn::Add(s3, term(i + 3 * step, AllLanes()));
  }
  for (; i + step <= n; i += step) s0 = hn::Add(s0, term(i, AllLanes()));
  if (i < n) s1 = hn::Add(s1, term(i, FirstLanes{static_cast<std::size_t>(n - i)}));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

// Row r of a view whose type is known.
template <typename T, typename View>
HWY_INLINE auto Row(const View& view, std::int64_t r) {
  return view.template As<T>() + r * view.stride;
}

}  // namespace sequela::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
