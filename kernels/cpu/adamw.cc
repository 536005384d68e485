#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adamw.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/parallel_chunks.h"
#include "kernels/cpu/rows-inl.h"
#include "kernels/cpu/rowwise.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu::HWY_NAMESPACE {
namespace {

void AdamwRange(const AdamwArgs& args, std::int64_t begin, std::int64_t end) {
  const F32 d;
  const VF32 gradient_scale = hn::Set(d, static_cast<float>(args.gradient_scale));
  const VF32 keep = hn::Set(d, static_cast<float>(1.0 - args.learning_rate * args.weight_decay));
  const VF32 take_m = hn::Set(d, static_cast<float>(1.0 - args.beta1));
  const VF32 keep_v = hn::Set(d, static_cast<float>(args.beta2));
  const VF32 take_v = hn::Set(d, static_cast<float>(1.0 - args.beta2));
  const VF32 root_scale = hn::Set(d, static_cast<float>(1.0 / std::sqrt(args.bias_correction2)));
  const VF32 epsilon = hn::Set(d, static_cast<float>(args.epsilon));
  const VF32 step_size = hn::Set(d, static_cast<float>(args.learning_rate / args.bias_correction1));
  float* p_row = args.master.data() + begin;
  float* m_row = args.m.data() + begin;
  float* v_row = args.v.data() + begin;
  const float* gradient_row = args.gradient.data() + begin;
  bf16* weight_row = args.weights.empty() ? nullptr : args.weights.data() + begin;
  ForVectors(end - begin, [&](std::int64_t i, auto lanes) HWY_ATTR {
    const VF32 g = hn::Mul(Load(gradient_row + i, lanes), gradient_scale);
    const VF32 old_m = Load(m_row + i, lanes);
    const VF32 m = hn::MulAdd(take_m, hn::Sub(g, old_m), old_m);
    const VF32 v = hn::MulAdd(hn::Mul(take_v, g), g, hn::Mul(keep_v, Load(v_row + i, lanes)));
    const VF32 denominator = hn::MulAdd(hn::Sqrt(v), root_scale, epsilon);
    const VF32 decayed = hn::Mul(Load(p_row + i, lanes), keep);
    const VF32 p = hn::NegMulAdd(step_size, hn::Div(m, denominator), decayed);
    Store(m, m_row + i, lanes);
    Store(v, v_row + i, lanes);
    Store(p, p_row + i, lanes);
    if (weight_row != nullptr) Store(p, weight_row + i, lanes);
  });
}

}  // namespace
}  // namespace sequela::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(AdamwRange);

void Adamw(const Exec& exec, const AdamwArgs& args) {
  const auto range = &HWY_DYNAMIC_DISPATCH(AdamwRange);
  ParallelChunks(exec, static_cast<std::int64_t>(args.master.size()), 16384,
                 [&](std::int64_t begin, std::int64_t end) { range(args, begin, end); });
}

}  // namespace sequela::cpu
#endif  // HWY_ONCE
