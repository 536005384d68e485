#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rms_norm.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/parallel_chunks.h"
#include "kernels/cpu/rows-inl.h"
#include "kernels/cpu/rowwise.h"
#include "kernels/layout/workspace_carver.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu::HWY_NAMESPACE {
namespace {

float ReciprocalRoot(float square_sum, std::int64_t size, float epsilon) {
  return 1.0F / std::sqrt(square_sum / static_cast<float>(size) + epsilon);
}

// residual_out = residual_in + x for one row.
template <typename X, typename Residual>
HWY_INLINE void AddRow(const RmsNormForwardArgs& args, std::int64_t r) {
  const X* x = Row<X>(args.x, r);
  const Residual* residual = Row<Residual>(args.residual_in, r);
  Residual* sum = Row<Residual>(args.residual_out, r);
  ForVectors(args.x.columns, [&](std::int64_t i, auto lanes) HWY_ATTR {
    Store(hn::Add(Load(residual + i, lanes), Load(x + i, lanes)), sum + i, lanes);
  });
}

// One row whose input (the sum as stored, still in the first cache, or x) has type In.
template <typename In, typename Y>
HWY_INLINE void NormRow(const RmsNormForwardArgs& args, const In* input, std::int64_t r) {
  const auto size = static_cast<std::int64_t>(args.gain.size());
  const std::int64_t groups = args.x.columns / size;
  const float* gain = args.gain.data();
  for (std::int64_t g = 0; g < groups; ++g) {
    const In* in = input + g * size;
    Y* y = Row<Y>(args.y, r) + g * size;
    const float square_sum = SumVectors(size, [&](std::int64_t i, auto lanes) HWY_ATTR {
      const VF32 value = Load(in + i, lanes);
      return hn::Mul(value, value);
    });
    const float rstd = ReciprocalRoot(square_sum, size, args.epsilon);
    if (!args.rstd.empty()) args.rstd[static_cast<std::size_t>(r * groups + g)] = rstd;
    const VF32 scale = hn::Set(F32(), rstd);
    ForVectors(size, [&](std::int64_t i, auto lanes) HWY_ATTR {
      const VF32 normed = hn::Mul(Load(in + i, lanes), scale);
      Store(hn::Mul(normed, Load(gain + i, lanes)), y + i, lanes);
    });
  }
}

template <typename X, typename Y>
void NormRows(const RmsNormForwardArgs& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) NormRow<X, Y>(args, Row<X>(args.x, r), r);
}

template <typename X, typename Residual>
void AddNormRows(const RmsNormForwardArgs& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    AddRow<X, Residual>(args, r);
    NormRow<Residual, X>(args, Row<Residual>(args.residual_out, r), r);
  }
}

// With n = input * rstd and a = gain * d_y: d_input = rstd (a - n mean(a n)), d_gain = d_y n.
template <typename Y, typename In>
HWY_INLINE void BackwardGroup(const RmsNormBackwardArgs& args, std::int64_t r, std::int64_t g,
                              float* d_gain) {
  const F32 d;
  const auto size = static_cast<std::int64_t>(args.gain.size());
  const std::int64_t groups = args.d_y.columns / size;
  const float* gain = args.gain.data();
  const Y* d_y = Row<Y>(args.d_y, r) + g * size;
  const In* input = Row<In>(args.input, r) + g * size;
  const bool residual = args.d_residual.data != nullptr;
  const In* d_residual = residual ? Row<In>(args.d_residual, r) + g * size : nullptr;
  In* d_input = Row<In>(args.d_input, r) + g * size;
  const float rstd = args.rstd[static_cast<std::size_t>(r * groups + g)];
  const VF32 scale = hn::Set(d, rstd);
  const float dot = SumVectors(size, [&](std::int64_t i, auto lanes) HWY_ATTR {
    const VF32 a = hn::Mul(Load(d_y + i, lanes), Load(gain + i, lanes));
    return hn::Mul(a, hn::Mul(Load(input + i, lanes), scale));
  });
  const VF32 mean = hn::Set(d, dot / static_cast<float>(size));
  ForVectors(size, [&](std::int64_t i, auto lanes) HWY_ATTR {
    const VF32 dy = Load(d_y + i, lanes);
    const VF32 normed = hn::Mul(Load(input + i, lanes), scale);
    const VF32 a = hn::Mul(dy, Load(gain + i, lanes));
    VF32 gradient = hn::Mul(scale, hn::NegMulAdd(normed, mean, a));
    if (residual) gradient = hn::Add(gradient, Load(d_residual + i, lanes));
    Store(hn::MulAdd(dy, normed, Load(d_gain + i, lanes)), d_gain + i, lanes);
    Store(gradient, d_input + i, lanes);
  });
}

template <typename Y, typename In>
void BackwardRows(const RmsNormBackwardArgs& args, std::int64_t begin, std::int64_t end,
                  float* d_gain) {
  const auto size = static_cast<std::int64_t>(args.gain.size());
  std::fill_n(d_gain, size, 0.0F);
  for (std::int64_t r = begin; r < end; ++r) {
    for (std::int64_t g = 0; g < args.d_y.columns / size; ++g) {
      BackwardGroup<Y, In>(args, r, g, d_gain);
    }
  }
}

void RmsNormForwardRows(const RmsNormForwardArgs& args, std::int64_t begin, std::int64_t end) {
  const bool x_bf16 = args.x.dtype == DType::kBFloat16;
  if (args.residual_in.data != nullptr) {
    const bool r_bf16 = args.residual_in.dtype == DType::kBFloat16;
    if (x_bf16) {
      r_bf16 ? AddNormRows<bf16, bf16>(args, begin, end)
             : AddNormRows<bf16, float>(args, begin, end);
    } else {
      r_bf16 ? AddNormRows<float, bf16>(args, begin, end)
             : AddNormRows<float, float>(args, begin, end);
    }
    return;
  }
  const bool y_bf16 = args.y.dtype == DType::kBFloat16;
  if (x_bf16) {
    y_bf16 ? NormRows<bf16, bf16>(args, begin, end) : NormRows<bf16, float>(args, begin, end);
  } else {
    y_bf16 ? NormRows<float, bf16>(args, begin, end) : NormRows<float, float>(args, begin, end);
  }
}

void RmsNormBackwardRows(const RmsNormBackwardArgs& args, std::int64_t begin, std::int64_t end,
                         float* d_gain) {
  const bool in_bf16 = args.input.dtype == DType::kBFloat16;
  if (args.d_y.dtype == DType::kBFloat16) {
    in_bf16 ? BackwardRows<bf16, bf16>(args, begin, end, d_gain)
            : BackwardRows<bf16, float>(args, begin, end, d_gain);
  } else {
    in_bf16 ? BackwardRows<float, bf16>(args, begin, end, d_gain)
            : BackwardRows<float, float>(args, begin, end, d_gain);
  }
}

}  // namespace
}  // namespace sequela::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(RmsNormForwardRows);
HWY_EXPORT(RmsNormBackwardRows);

void RmsNormForward(const Exec& exec, const RmsNormForwardArgs& args) {
  const auto rows = &HWY_DYNAMIC_DISPATCH(RmsNormForwardRows);
  ParallelChunks(exec, args.x.rows, RowsPerChunk(args.x.columns),
                 [&](std::int64_t begin, std::int64_t end) { rows(args, begin, end); });
}

void RmsNormBackward(const Exec& exec, const RmsNormBackwardArgs& args) {
  const auto rows = &HWY_DYNAMIC_DISPATCH(RmsNormBackwardRows);
  const auto size = static_cast<std::int64_t>(args.gain.size());
  const std::int64_t num_partials = CeilDiv(args.d_y.rows, kPartialRows);
  float* partials = WorkspaceCarver(exec.workspace).Take<float>(num_partials * size);
  ParallelChunks(exec, args.d_y.rows, kPartialRows, [&](std::int64_t begin, std::int64_t end) {
    rows(args, begin, end, partials + begin / kPartialRows * size);
  });
  AddPartialSums(exec, partials, num_partials, args.d_gain);
}

}  // namespace sequela::cpu
#endif  // HWY_ONCE
