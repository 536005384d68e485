#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/global_norm.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/parallel_chunks.h"
#include "kernels/cpu/rows-inl.h"
#include "kernels/cpu/rowwise.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu::HWY_NAMESPACE {
namespace {

// The squares are summed in fp64: exactly representable there, and 1,024 of them cannot overflow.
double SquareSum(const float* x, std::int64_t n) {
  const hn::ScalableTag<double> d64;
  const hn::Rebind<float, decltype(d64)> d32;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d64));
  auto s0 = hn::Zero(d64);
  auto s1 = hn::Zero(d64);
  std::int64_t i = 0;
  for (; i + 2 * step <= n; i += 2 * step) {
    const auto x0 = hn::PromoteTo(d64, hn::LoadU(d32, x + i));
    const auto x1 = hn::PromoteTo(d64, hn::LoadU(d32, x + i + step));
    s0 = hn::MulAdd(x0, x0, s0);
    s1 = hn::MulAdd(x1, x1, s1);
  }
  double sum = hn::GetLane(hn::SumOfLanes(d64, hn::Add(s0, s1)));
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

}  // namespace
}  // namespace sequela::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(SquareSum);

void TileSquareSums(const Exec& exec, const TileSquareSumsArgs& args) {
  constexpr std::int64_t kTilesPerChunk = 16;
  const auto square_sum = &HWY_DYNAMIC_DISPATCH(SquareSum);
  const auto n = static_cast<std::int64_t>(args.x.size());
  ParallelChunks(exec, n, kTilesPerChunk * kNormTile, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += kNormTile) {
      args.partials[static_cast<std::size_t>(i / kNormTile)] =
          square_sum(args.x.data() + i, std::min(kNormTile, end - i));
    }
  });
}

}  // namespace sequela::cpu
#endif  // HWY_ONCE
