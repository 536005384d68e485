// Vector helpers that the kernels of this folder share. Included once per Highway target by files
// that use foreach_target.h; hence the toggling guard.
#if defined(SEQUELA_KERNELS_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEQUELA_KERNELS_CPU_SIMD_INL_H_
#undef SEQUELA_KERNELS_CPU_SIMD_INL_H_
#else
#define SEQUELA_KERNELS_CPU_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/base/bf16.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using VF32 = hn::Vec<F32>;

// D: a Highway tag of floats.
template <class D>
HWY_INLINE hn::Vec<D> LoadFloats(D d, const float* from) {
  return hn::LoadU(d, from);
}

template <class D>
HWY_INLINE hn::Vec<D> LoadFloats(D d, const bf16* from) {
  const hn::RebindToUnsigned<D> du32;
  const hn::Rebind<std::uint16_t, D> du16;
  const auto bits = hn::LoadU(du16, reinterpret_cast<const std::uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du32, bits)));
}

HWY_INLINE void StoreFloats(F32 d, VF32 value, float* to) { hn::StoreU(value, d, to); }

// Rounds to nearest even, as ToBf16 does; NaN stays NaN.
HWY_INLINE void StoreFloats(F32 d, VF32 value, bf16* to) {
  const hn::RebindToUnsigned<F32> du32;
  const hn::Rebind<std::uint16_t, F32> du16;
  const auto bits = hn::BitCast(du32, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du32, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du32, 0x7fff))));
  const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du32, 0x40));
  const auto is_nan = hn::MaskFromVec(hn::BitCast(du32, hn::VecFromMask(d, hn::IsNaN(value))));
  const auto result = hn::IfThenElse(is_nan, quiet, rounded);
  hn::StoreU(hn::TruncateTo(du16, result), du16, reinterpret_cast<std::uint16_t*>(to));
}

inline float LoadOne(const float* from) { return *from; }
inline float LoadOne(const bf16* from) { return ToFloat(*from); }
inline void StoreOne(float value, float* to) { *to = value; }
inline void StoreOne(float value, bf16* to) { *to = ToBf16(value); }

// Copies `count` numbers from one type to the other.
template <typename From, typename To>
HWY_INLINE void ConvertRow(const From* HWY_RESTRICT from, To* HWY_RESTRICT to, std::int64_t count) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) StoreFloats(d, LoadFloats(d, from + i), to + i);
  for (; i < count; ++i) StoreOne(LoadOne(from + i), to + i);
}

// e^x for x < 88.7, exactly 1 at 0, exactly 0 below -87.33 and for -inf; NaN stays NaN. x = n ln 2
// + f ln 2 with log2(e) in two pieces, so that f is right to its last place; the polynomial for 2^f
// on |f| <= 1/2 (interpolation at Chebyshev's nodes) is off by less than 1e-8 relative.
HWY_INLINE VF32 Exp(F32 d, VF32 x) {
  const hn::RebindToUnsigned<F32> du32;
  const auto lowest = hn::Set(d, -87.33F);
  const auto log2e = hn::Set(d, 1.44269502F), log2e_rest = hn::Set(d, 1.92596299e-8F);
  const auto clamped = hn::Max(lowest, x);  // in this order x86 lets a NaN through
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
  const auto shifter = hn::Set(d, 12582912.0F);
  const auto shifted = hn::MulAdd(clamped, log2e, shifter);
  const auto n = hn::Sub(shifted, shifter);
  const auto f = hn::MulAdd(clamped, log2e_rest, hn::MulSub(clamped, log2e, n));
  auto p = hn::Set(d, 1.54531634e-4F);
  p = hn::MulAdd(p, f, hn::Set(d, 1.33908633e-3F));
  p = hn::MulAdd(p, f, hn::Set(d, 9.61808302e-3F));
  p = hn::MulAdd(p, f, hn::Set(d, 5.55035695e-2F));
  p = hn::MulAdd(p, f, hn::Set(d, 2.40226507e-1F));
  p = hn::MulAdd(p, f, hn::Set(d, 6.93147182e-1F));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0F));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(du32, shifted));
  const auto scaled = hn::BitCast(d, hn::Add(hn::BitCast(du32, p), exponent));
  return hn::IfThenZeroElse(hn::Lt(x, lowest), scaled);
}

}  // namespace HWY_NAMESPACE
}  // namespace sequela::cpu
HWY_AFTER_NAMESPACE();
#endif
