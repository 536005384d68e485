#include "kernels/cpu/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h.
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu {
namespace HWY_NAMESPACE {

void WidenRow(const bf16* from, float* to, std::int64_t count) { ConvertRow(from, to, count); }

void RoundRow(const float* from, bf16* to, std::int64_t count) { ConvertRow(from, to, count); }

void AddRow(const float* from, float* to, std::int64_t count) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::LoadU(d, from + i)), d, to + i);
  }
  for (; i < count; ++i) to[i] += from[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace sequela::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(WidenRow);
HWY_EXPORT(RoundRow);
HWY_EXPORT(AddRow);

void WidenRow(const bf16* from, float* to, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(WidenRow)(from, to, count);
}
void RoundRow(const float* from, bf16* to, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(RoundRow)(from, to, count);
}
void AddRow(const float* from, float* to, std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(AddRow)(from, to, count);
}

}  // namespace sequela::cpu
#endif
