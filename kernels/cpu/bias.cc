#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bias.cc"
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

template <typename T>
void AddBias(const BiasForwardArgs& args, std::int64_t begin, std::int64_t end) {
  const float* bias = args.bias.data();
  for (std::int64_t r = begin; r < end; ++r) {
    T* x = Row<T>(args.x_TD, r);
    ForVectors(args.x_TD.columns, [&](std::int64_t i, auto lanes) HWY_ATTR {
      Store(hn::Add(Load(x + i, lanes), Load(bias + i, lanes)), x + i, lanes);
    });
  }
}

// Row by row into sums that stay in the first cache: reading down the columns is half as fast.
template <typename T>
void SumColumns(const BiasBackwardArgs& args, std::int64_t begin, std::int64_t end, float* sums) {
  const std::int64_t columns = args.d_x_TD.columns;
  std::fill_n(sums, columns, 0.0F);
  for (std::int64_t r = begin; r < end; ++r) {
    const T* row = Row<T>(args.d_x_TD, r);
    ForVectors(columns, [&](std::int64_t i, auto lanes) HWY_ATTR {
      Store(hn::Add(Load(sums + i, lanes), Load(row + i, lanes)), sums + i, lanes);
    });
  }
}

void BiasForwardRows(const BiasForwardArgs& args, std::int64_t begin, std::int64_t end) {
  if (args.x_TD.dtype == DType::kBFloat16) return AddBias<bf16>(args, begin, end);
  AddBias<float>(args, begin, end);
}
void BiasBackwardRows(const BiasBackwardArgs& args, std::int64_t begin, std::int64_t end,
                      float* sums) {
  if (args.d_x_TD.dtype == DType::kBFloat16) return SumColumns<bf16>(args, begin, end, sums);
  SumColumns<float>(args, begin, end, sums);
}

void PartialSumColumns(const float* partials, std::int64_t num_partials, std::span<float> to,
                       std::int64_t begin, std::int64_t end) {
  const auto columns = static_cast<std::int64_t>(to.size());
  ForVectors(end - begin, [&](std::int64_t offset, auto lanes) HWY_ATTR {
    const std::int64_t i = begin + offset;
    VF32 sum = hn::Zero(F32());
    for (std::int64_t p = 0; p < num_partials; ++p) {
      sum = hn::Add(sum, Load(partials + p * columns + i, lanes));
    }
    Store(hn::Add(Load(to.data() + i, lanes), sum), to.data() + i, lanes);
  });
}

}  // namespace
}  // namespace sequela::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(BiasForwardRows);
HWY_EXPORT(BiasBackwardRows);
HWY_EXPORT(PartialSumColumns);

void AddPartialSums(const Exec& exec, const float* partials, std::int64_t num_partials,
                    std::span<float> to) {
  const auto columns = &HWY_DYNAMIC_DISPATCH(PartialSumColumns);
  ParallelChunks(exec, static_cast<std::int64_t>(to.size()), 256,
                 [&](std::int64_t begin, std::int64_t end) {
                   columns(partials, num_partials, to, begin, end);
                 });
}

void BiasForward(const Exec& exec, const BiasForwardArgs& args) {
  const auto rows = &HWY_DYNAMIC_DISPATCH(BiasForwardRows);
  ParallelChunks(exec, args.x_TD.rows, RowsPerChunk(args.x_TD.columns),
                 [&](std::int64_t begin, std::int64_t end) { rows(args, begin, end); });
}

void BiasBackward(const Exec& exec, const BiasBackwardArgs& args) {
  const auto rows = &HWY_DYNAMIC_DISPATCH(BiasBackwardRows);
  const std::int64_t num_partials = CeilDiv(args.d_x_TD.rows, kPartialRows);
  const std::int64_t columns = args.d_x_TD.columns;
  float* partials = WorkspaceCarver(exec.workspace).Take<float>(num_partials * columns);
  ParallelChunks(exec, args.d_x_TD.rows, kPartialRows, [&](std::int64_t begin, std::int64_t end) {
    rows(args, begin, end, partials + begin / kPartialRows * columns);
  });
  AddPartialSums(exec, partials, num_partials, args.d_bias);
}

}  // namespace sequela::cpu
#endif  // HWY_ONCE
