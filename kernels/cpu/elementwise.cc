#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/parallel_chunks.h"
#include "kernels/cpu/rows-inl.h"
#include "kernels/cpu/rowwise.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu::HWY_NAMESPACE {
namespace {

template <typename From, typename To>
void CastTyped(const CastArgs& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const From* from = Row<From>(args.from, r);
    To* to = Row<To>(args.to, r);
    ForVectors(args.to.columns, [&](std::int64_t i, auto lanes)
                                    HWY_ATTR { Store(Load(from + i, lanes), to + i, lanes); });
  }
}

template <typename A, typename B>
void AddTyped(const AddArgs& args, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) {
    const A* a = Row<A>(args.a, r);
    const B* b = Row<B>(args.b, r);
    A* out = Row<A>(args.out, r);
    ForVectors(args.out.columns, [&](std::int64_t i, auto lanes) HWY_ATTR {
      Store(hn::Add(Load(a + i, lanes), Load(b + i, lanes)), out + i, lanes);
    });
  }
}

void CastRows(const CastArgs& args, std::int64_t begin, std::int64_t end) {
  const bool to_bf16 = args.to.dtype == DType::kBFloat16;
  if (args.from.dtype == DType::kBFloat16) {
    to_bf16 ? CastTyped<bf16, bf16>(args, begin, end) : CastTyped<bf16, float>(args, begin, end);
  } else {
    to_bf16 ? CastTyped<float, bf16>(args, begin, end) : CastTyped<float, float>(args, begin, end);
  }
}
void AddRows(const AddArgs& args, std::int64_t begin, std::int64_t end) {
  const bool b_bf16 = args.b.dtype == DType::kBFloat16;
  if (args.a.dtype == DType::kBFloat16) {
    b_bf16 ? AddTyped<bf16, bf16>(args, begin, end) : AddTyped<bf16, float>(args, begin, end);
  } else {
    b_bf16 ? AddTyped<float, bf16>(args, begin, end) : AddTyped<float, float>(args, begin, end);
  }
}

}  // namespace
}  // namespace sequela::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(CastRows);
HWY_EXPORT(AddRows);

void Cast(const Exec& exec, const CastArgs& args) {
  const auto rows = &HWY_DYNAMIC_DISPATCH(CastRows);
  ParallelChunks(exec, args.to.rows, RowsPerChunk(args.to.columns),
                 [&](std::int64_t begin, std::int64_t end) { rows(args, begin, end); });
}

void Add(const Exec& exec, const AddArgs& args) {
  const auto rows = &HWY_DYNAMIC_DISPATCH(AddRows);
  ParallelChunks(exec, args.out.rows, RowsPerChunk(args.out.columns),
                 [&](std::int64_t begin, std::int64_t end) { rows(args, begin, end); });
}

void FillZero(const Exec& exec, const FillZeroArgs& args) {
  const std::int64_t element_bytes = SizeOf(args.x.dtype);
  ParallelChunks(
      exec, args.x.rows, RowsPerChunk(args.x.columns), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = begin; r < end; ++r) {
          std::memset(static_cast<char*>(args.x.data) + r * args.x.stride * element_bytes, 0,
                      static_cast<std::size_t>(args.x.columns * element_bytes));
        }
      });
}

}  // namespace sequela::cpu
#endif  // HWY_ONCE
