#include "kernels/cpu/softmax_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_rows.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h.
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu {
namespace HWY_NAMESPACE {

// e^(x - max).
HWY_INLINE VF32 ExpBelow(F32 d, VF32 x, VF32 max) { return Exp(d, hn::Sub(x, max)); }

// The last, partial vector: what lies beyond the row is replaced by `filler`.
HWY_INLINE VF32 LoadTail(F32 d, const float* x, std::int64_t count, float filler) {
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
  std::fill(lanes, lanes + hn::Lanes(d), filler);
  std::copy(x, x + count, lanes);
  return hn::Load(d, lanes);
}

// Keeps the exponentials that it sums, in the place of x, where `kKeep`.
template <bool kKeep, typename Row>
HWY_INLINE SumOfExps SumExps(Row* HWY_RESTRICT x, std::int64_t count) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  constexpr float kNothing = -std::numeric_limits<float>::infinity();
  const std::int64_t whole = count / lanes * lanes;
  auto max = hn::Set(d, kNothing);
  for (std::int64_t i = 0; i < whole; i += lanes) max = hn::Max(max, hn::LoadU(d, x + i));
  if (whole < count) max = hn::Max(max, LoadTail(d, x + whole, count - whole, kNothing));
  max = hn::MaxOfLanes(d, max);

  const auto exp_at = [&](std::int64_t i) HWY_ATTR {
    const auto e = ExpBelow(d, hn::LoadU(d, x + i), max);
    if constexpr (kKeep) hn::StoreU(e, d, x + i);
    return e;
  };
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= whole; i += 2 * lanes) {
    sum0 = hn::Add(sum0, exp_at(i));
    sum1 = hn::Add(sum1, exp_at(i + lanes));
  }
  if (i < whole) sum0 = hn::Add(sum0, exp_at(i));
  if (whole < count) {
    const auto e = ExpBelow(d, LoadTail(d, x + whole, count - whole, kNothing), max);
    sum1 = hn::Add(sum1, e);
    if constexpr (kKeep) {
      HWY_ALIGN float tail[HWY_MAX_BYTES / sizeof(float)];
      hn::Store(e, d, tail);
      std::copy(tail, tail + (count - whole), x + whole);
    }
  }
  return {hn::GetLane(max), hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)))};
}

SumOfExps RowSumOfExps(const float* x, std::int64_t count) { return SumExps<false>(x, count); }

SumOfExps ExpRow(float* x, std::int64_t count) { return SumExps<true>(x, count); }

template <typename Out>
HWY_INLINE void GradientRow(const float* exps, std::int64_t count, float sum, std::int64_t target,
                            float weight, Out* out) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float scale = weight / sum;
  const float target_probability = exps[target] / sum;
  const auto scale_v = hn::Set(d, scale);
  std::int64_t i = 0;
  // Ascending: where out is exps, narrower numbers are written only behind what was read.
  for (; i + lanes <= count; i += lanes) {
    StoreFloats(d, hn::Mul(scale_v, hn::LoadU(d, exps + i)), out + i);
  }
  for (; i < count; ++i) StoreOne(scale * exps[i], out + i);
  StoreOne(weight * (target_probability - 1.0F), out + target);
}

void SoftmaxGradientFloats(const float* exps, std::int64_t count, float sum, std::int64_t target,
                           float weight, float* out) {
  GradientRow(exps, count, sum, target, weight, out);
}

void SoftmaxGradientBf16(const float* exps, std::int64_t count, float sum, std::int64_t target,
                         float weight, bf16* out) {
  GradientRow(exps, count, sum, target, weight, out);
}

std::int64_t RankOf(const float* HWY_RESTRICT x, std::int64_t count, std::int64_t target) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float mine = x[target];
  const auto mine_v = hn::Set(d, mine);
  std::int64_t rank = 0, i = 0;
  // Equal numbers count only in the vectors that lie wholly before the target.
  for (; i + lanes <= target; i += lanes) {
    rank += static_cast<std::int64_t>(hn::CountTrue(d, hn::Ge(hn::LoadU(d, x + i), mine_v)));
  }
  for (; i < std::min(target + 1, count); ++i) rank += i < target && x[i] >= mine ? 1 : 0;
  for (; i + lanes <= count; i += lanes) {
    rank += static_cast<std::int64_t>(hn::CountTrue(d, hn::Gt(hn::LoadU(d, x + i), mine_v)));
  }
  for (; i < count; ++i) rank += x[i] > mine ? 1 : 0;
  return rank;
}

void SubtractRow(const float* HWY_RESTRICT y, float* HWY_RESTRICT x, std::int64_t count) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Sub(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, x + i);
  }
  for (; i < count; ++i) x[i] -= y[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace sequela::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(RowSumOfExps);
HWY_EXPORT(ExpRow);
HWY_EXPORT(SoftmaxGradientFloats);
HWY_EXPORT(SoftmaxGradientBf16);
HWY_EXPORT(RankOf);
HWY_EXPORT(SubtractRow);

SumOfExps RowSumOfExps(const float* x, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(RowSumOfExps)(x, count);
}

SumOfExps ExpRow(float* x, std::int64_t count) { return HWY_DYNAMIC_DISPATCH(ExpRow)(x, count); }

double NegativeLogProbability(const SumOfExps& exps, float x) {
  return std::log(static_cast<double>(exps.sum)) +
         (static_cast<double>(exps.max) - static_cast<double>(x));
}

void SoftmaxGradientRow(const float* exps, std::int64_t count, float sum, std::int64_t target,
                        float weight, float* out) {
  HWY_DYNAMIC_DISPATCH(SoftmaxGradientFloats)(exps, count, sum, target, weight, out);
}

void SoftmaxGradientRow(const float* exps, std::int64_t count, float sum, std::int64_t target,
                        float weight, bf16* out) {
  HWY_DYNAMIC_DISPATCH(SoftmaxGradientBf16)(exps, count, sum, target, weight, out);
}

std::int64_t RankOf(const float* x, std::int64_t count, std::int64_t target) {
  return HWY_DYNAMIC_DISPATCH(RankOf)(x, count, target);
}

void SubtractRow(const float* y, float* x, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(SubtractRow)(y, x, count);
}

}  // namespace sequela::cpu
#endif
