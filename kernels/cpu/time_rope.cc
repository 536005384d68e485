#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/time_rope.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "kernels/cpu/parallel_chunks.h"
#include "kernels/cpu/rows-inl.h"
#include "kernels/cpu/rowwise.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu::HWY_NAMESPACE {
namespace {

// cos and sin of 2 pi frac(x * rate[i]): the angle is brought into half a turn in fp64 before it
// meets a sine, and only the result is rounded to fp32.
void AngleRow(double x, const double* rate, std::int64_t n, float* cosine, float* sine) {
  const hn::ScalableTag<double> d64;
  const hn::Rebind<float, decltype(d64)> d32;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d64));
  const auto turn = hn::Set(d64, 2.0 * std::numbers::pi);
  for (std::int64_t i = 0; i < n; i += step) {
    const std::int64_t begin = std::max<std::int64_t>(0, std::min(i, n - step));
    HWY_ALIGN double padded[HWY_MAX_BYTES / sizeof(double)] = {};
    const bool whole = begin + step <= n;
    if (!whole) std::copy_n(rate, n, padded);
    const auto turns = hn::Mul(hn::Set(d64, x), hn::LoadU(d64, whole ? rate + begin : padded));
    const auto angle = hn::Mul(turn, hn::Sub(turns, hn::Round(turns)));
    const auto c = hn::DemoteTo(d32, hn::Cos(d64, angle));
    const auto s = hn::DemoteTo(d32, hn::Sin(d64, angle));
    if (whole) {
      hn::StoreU(c, d32, cosine + begin);
      hn::StoreU(s, d32, sine + begin);
    } else {
      for (std::int64_t lane = 0; lane < n; ++lane) {
        cosine[lane] = hn::ExtractLane(c, static_cast<std::size_t>(lane));
        sine[lane] = hn::ExtractLane(s, static_cast<std::size_t>(lane));
      }
    }
  }
}

// (a, b) -> (a cos - b sin, b cos + a sin), or by the opposite angle.
template <typename T, bool kInverse>
void RotateRows(const TimeRopeArgs& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t pairs = args.cos_TP.columns;
  for (std::int64_t r = begin; r < end; ++r) {
    const float* cos_row = Row<float>(args.cos_TP, r);
    const float* sin_row = Row<float>(args.sin_TP, r);
    T* x_row = Row<T>(args.x_TNH, r);
    for (std::int64_t head = 0; head < args.x_TNH.columns; head += 2 * pairs) {
      T* first = x_row + head;
      T* second = first + pairs;
      ForVectors(pairs, [&](std::int64_t i, auto lanes) HWY_ATTR {
        const VF32 c = Load(cos_row + i, lanes);
        const VF32 sine = Load(sin_row + i, lanes);
        const VF32 s = kInverse ? hn::Neg(sine) : sine;
        const VF32 a = Load(first + i, lanes);
        const VF32 b = Load(second + i, lanes);
        Store(hn::NegMulAdd(b, s, hn::Mul(a, c)), first + i, lanes);
        Store(hn::MulAdd(a, s, hn::Mul(b, c)), second + i, lanes);
      });
    }
  }
}

void TimeRopeForwardRows(const TimeRopeArgs& args, std::int64_t begin, std::int64_t end) {
  if (args.x_TNH.dtype == DType::kBFloat16) return RotateRows<bf16, false>(args, begin, end);
  RotateRows<float, false>(args, begin, end);
}
void TimeRopeBackwardRows(const TimeRopeArgs& args, std::int64_t begin, std::int64_t end) {
  if (args.x_TNH.dtype == DType::kBFloat16) return RotateRows<bf16, true>(args, begin, end);
  RotateRows<float, true>(args, begin, end);
}

}  // namespace
}  // namespace sequela::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(AngleRow);
HWY_EXPORT(TimeRopeForwardRows);
HWY_EXPORT(TimeRopeBackwardRows);

namespace {

constexpr double kMicrosecondsPerSecond = 1e6;
constexpr double kSecondsPerYear = 365.25 * 86400.0;

// Turns per unit of position (index pairs) or per microsecond (time pairs), for all pairs of a
// head.
void FillRates(const TimeRopeSettings& settings, std::span<double> rate) {
  const auto pairs = static_cast<std::int64_t>(rate.size());
  const std::int64_t index_pairs = pairs - settings.num_time_pairs;
  for (std::int64_t i = 0; i < index_pairs; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(settings.head_dim);
    rate[static_cast<std::size_t>(i)] =
        std::pow(settings.theta, exponent) / (2.0 * std::numbers::pi);
  }
  const double ratio = settings.max_period_years * kSecondsPerYear / settings.min_period_seconds;
  for (std::int64_t j = 0; j < settings.num_time_pairs; ++j) {
    const double share =
        settings.num_time_pairs == 1
            ? 1.0
            : static_cast<double>(j) / static_cast<double>(settings.num_time_pairs - 1);
    const double period_seconds = settings.min_period_seconds * std::pow(ratio, share);
    rate[static_cast<std::size_t>(index_pairs + j)] =
        1.0 / (period_seconds * kMicrosecondsPerSecond);
  }
}

// The document that holds token t: the last that begins at or before it.
std::size_t DocumentOf(std::span<const std::int32_t> document_begin, std::int64_t t) {
  const auto after = std::upper_bound(document_begin.begin(), document_begin.end(), t);
  return static_cast<std::size_t>(after - document_begin.begin() - 1);
}

}  // namespace

void BuildTimeRopeTable(const Exec& exec, const TimeRopeSettings& settings,
                        const TimeRopeTableArgs& args) {
  const auto angles = &HWY_DYNAMIC_DISPATCH(AngleRow);
  const std::int64_t pairs = settings.head_dim / 2;
  const std::int64_t index_pairs = pairs - settings.num_time_pairs;
  std::array<double, kMaxRopeHeadDim / 2> rates;
  FillRates(settings, std::span(rates).first(static_cast<std::size_t>(pairs)));
  const auto fill = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      float* cos_row = args.cos_TP.As<float>() + t * args.cos_TP.stride;
      float* sin_row = args.sin_TP.As<float>() + t * args.sin_TP.stride;
      const auto at = static_cast<std::size_t>(t);
      angles(static_cast<double>(args.position[at]), rates.data(), index_pairs, cos_row, sin_row);
      if (settings.num_time_pairs == 0) continue;
      const auto first =
          static_cast<std::size_t>(args.document_begin[DocumentOf(args.document_begin, t)]);
      const std::int64_t elapsed_us = args.time_us[at] - args.time_us[first];
      angles(static_cast<double>(elapsed_us), rates.data() + index_pairs, settings.num_time_pairs,
             cos_row + index_pairs, sin_row + index_pairs);
    }
  };
  ParallelChunks(exec, args.cos_TP.rows, 64, fill);
}

void TimeRopeForward(const Exec& exec, const TimeRopeArgs& args) {
  const auto rows = &HWY_DYNAMIC_DISPATCH(TimeRopeForwardRows);
  ParallelChunks(exec, args.x_TNH.rows, RowsPerChunk(args.x_TNH.columns),
                 [&](std::int64_t begin, std::int64_t end) { rows(args, begin, end); });
}

void TimeRopeBackward(const Exec& exec, const TimeRopeArgs& args) {
  const auto rows = &HWY_DYNAMIC_DISPATCH(TimeRopeBackwardRows);
  ParallelChunks(exec, args.x_TNH.rows, RowsPerChunk(args.x_TNH.columns),
                 [&](std::int64_t begin, std::int64_t end) { rows(args, begin, end); });
}

}  // namespace sequela::cpu
#endif  // HWY_ONCE
