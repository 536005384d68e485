#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/swiglu.cc"
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

// exp(-g), kept finite so that 1 - sigmoid can be formed as a product: beyond 87 the sigmoid is
// below the smallest normal float.
HWY_INLINE VF32 ExpOfMinus(VF32 gate) {
  const F32 d;
  return hn::Exp(d, hn::Min(hn::Set(d, 87.0F), hn::Neg(gate)));
}

template <typename T>
void ForwardRows(const SwigluForwardArgs& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t columns = args.out_TF.columns;
  const VF32 one = hn::Set(F32(), 1.0F);
  for (std::int64_t r = begin; r < end; ++r) {
    const T* gate_row = Row<T>(args.gate_up_T2F, r);
    const T* up_row = gate_row + columns;
    T* out_row = Row<T>(args.out_TF, r);
    ForVectors(columns, [&](std::int64_t i, auto lanes) HWY_ATTR {
      const VF32 gate = Load(gate_row + i, lanes);
      const VF32 silu = hn::Div(gate, hn::Add(one, ExpOfMinus(gate)));
      Store(hn::Mul(silu, Load(up_row + i, lanes)), out_row + i, lanes);
    });
  }
}

// d_up = d silu(g), d_gate = d up s (1 + g (1 - s)) with s the sigmoid of g.
template <typename T>
void BackwardRows(const SwigluBackwardArgs& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t columns = args.d_out_TF.columns;
  const VF32 one = hn::Set(F32(), 1.0F);
  for (std::int64_t r = begin; r < end; ++r) {
    const T* gate_row = Row<T>(args.gate_up_T2F, r);
    const T* up_row = gate_row + columns;
    const T* d_out_row = Row<T>(args.d_out_TF, r);
    T* d_gate_row = Row<T>(args.d_gate_up_T2F, r);
    T* d_up_row = d_gate_row + columns;
    ForVectors(columns, [&](std::int64_t i, auto lanes) HWY_ATTR {
      const VF32 gate = Load(gate_row + i, lanes);
      const VF32 up = Load(up_row + i, lanes);
      const VF32 d_out = Load(d_out_row + i, lanes);
      const VF32 exp_minus = ExpOfMinus(gate);
      const VF32 sigmoid = hn::Div(one, hn::Add(one, exp_minus));
      const VF32 one_minus = hn::Mul(exp_minus, sigmoid);
      const VF32 slope = hn::Mul(sigmoid, hn::MulAdd(gate, one_minus, one));
      Store(hn::Mul(hn::Mul(d_out, up), slope), d_gate_row + i, lanes);
      Store(hn::Mul(d_out, hn::Mul(gate, sigmoid)), d_up_row + i, lanes);
    });
  }
}

void SwigluForwardRows(const SwigluForwardArgs& args, std::int64_t begin, std::int64_t end) {
  if (args.out_TF.dtype == DType::kBFloat16) return ForwardRows<bf16>(args, begin, end);
  ForwardRows<float>(args, begin, end);
}
void SwigluBackwardRows(const SwigluBackwardArgs& args, std::int64_t begin, std::int64_t end) {
  if (args.d_out_TF.dtype == DType::kBFloat16) return BackwardRows<bf16>(args, begin, end);
  BackwardRows<float>(args, begin, end);
}

}  // namespace
}  // namespace sequela::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(SwigluForwardRows);
HWY_EXPORT(SwigluBackwardRows);

void SwigluForward(const Exec& exec, const SwigluForwardArgs& args) {
  const auto rows = &HWY_DYNAMIC_DISPATCH(SwigluForwardRows);
  ParallelChunks(exec, args.out_TF.rows, RowsPerChunk(args.out_TF.columns),
                 [&](std::int64_t begin, std::int64_t end) { rows(args, begin, end); });
}

void SwigluBackward(const Exec& exec, const SwigluBackwardArgs& args) {
  const auto rows = &HWY_DYNAMIC_DISPATCH(SwigluBackwardRows);
  ParallelChunks(exec, args.d_out_TF.rows, RowsPerChunk(args.d_out_TF.columns),
                 [&](std::int64_t begin, std::int64_t end) { rows(args, begin, end); });
}

}  // namespace sequela::cpu
#endif  // HWY_ONCE
