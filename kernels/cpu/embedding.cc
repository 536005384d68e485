#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/embedding.cc"
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

// Adds the gradient rows of one piece, one after another, to the table's row, or to a partial sum
// that begins at 0.
template <typename T>
void SumPiece(const EmbeddingBackwardArgs& args, const EmbeddingPlan::Piece& piece,
              float* partials) {
  const std::int64_t columns = args.d_out_TD.columns;
  const bool whole = piece.partial < 0;
  float* to = whole ? Row<float>(args.d_table_VD, piece.token)
                    : partials + std::int64_t{piece.partial} * columns;
  if (!whole) std::fill_n(to, columns, 0.0F);
  for (std::int32_t p = piece.begin; p < piece.end; ++p) {
    const T* from = Row<T>(args.d_out_TD, args.plan->position()[static_cast<std::size_t>(p)]);
    ForVectors(columns, [&](std::int64_t i, auto lanes) HWY_ATTR {
      Store(hn::Add(Load(to + i, lanes), Load(from + i, lanes)), to + i, lanes);
    });
  }
}

void EmbeddingPieces(const EmbeddingBackwardArgs& args, std::int64_t begin, std::int64_t end,
                     float* partials) {
  for (const auto& piece : args.plan->pieces().subspan(static_cast<std::size_t>(begin),
                                                       static_cast<std::size_t>(end - begin))) {
    if (args.d_out_TD.dtype == DType::kBFloat16) {
      SumPiece<bf16>(args, piece, partials);
    } else {
      SumPiece<float>(args, piece, partials);
    }
  }
}

// Adds the `count` partial sums of one token, in order, to its row of the table.
void EmbeddingToken(const EmbeddingBackwardArgs& args, std::int32_t token, const float* partials,
                    std::int64_t count) {
  const std::int64_t columns = args.d_table_VD.columns;
  float* to = Row<float>(args.d_table_VD, token);
  ForVectors(columns, [&](std::int64_t i, auto lanes) HWY_ATTR {
    VF32 sum = hn::Zero(F32());
    for (std::int64_t p = 0; p < count; ++p) {
      sum = hn::Add(sum, Load(partials + p * columns + i, lanes));
    }
    Store(hn::Add(Load(to + i, lanes), sum), to + i, lanes);
  });
}

}  // namespace
}  // namespace sequela::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {

HWY_EXPORT(EmbeddingPieces);
HWY_EXPORT(EmbeddingToken);

namespace {
constexpr std::int64_t kPiecesPerChunk = 16;
}  // namespace

void EmbeddingForward(const Exec& exec, const EmbeddingForwardArgs& args) {
  const std::int64_t element_bytes = SizeOf(args.table_VD.dtype);
  const auto row_bytes = static_cast<std::size_t>(args.out_TD.columns * element_bytes);
  const auto* table = static_cast<const char*>(args.table_VD.data);
  auto* out = static_cast<char*>(args.out_TD.data);
  ParallelChunks(exec, args.out_TD.rows, RowsPerChunk(args.out_TD.columns),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t t = begin; t < end; ++t) {
                     const std::int64_t token = args.token[static_cast<std::size_t>(t)];
                     std::memcpy(out + t * args.out_TD.stride * element_bytes,
                                 table + token * args.table_VD.stride * element_bytes, row_bytes);
                   }
                 });
}

void EmbeddingBackward(const Exec& exec, const EmbeddingBackwardArgs& args) {
  const auto sum_pieces = &HWY_DYNAMIC_DISPATCH(EmbeddingPieces);
  const auto num_pieces = static_cast<std::int64_t>(args.plan->pieces().size());
  float* partials = WorkspaceCarver(exec.workspace)
                        .Take<float>(args.plan->num_partials() * args.d_out_TD.columns);
  ParallelChunks(exec, num_pieces, kPiecesPerChunk, [&](std::int64_t begin, std::int64_t end) {
    sum_pieces(args, begin, end, partials);
  });
  const auto add = &HWY_DYNAMIC_DISPATCH(EmbeddingToken);
  const auto split_tokens = args.plan->split_tokens();
  ParallelFor(exec.num_threads, std::ssize(split_tokens), [&](std::int64_t i, int /*thread*/) {
    const auto& split = split_tokens[static_cast<std::size_t>(i)];
    add(args, split.token, partials + split.first_partial * args.d_out_TD.columns,
        split.num_partials);
  });
}

}  // namespace sequela::cpu
#endif  // HWY_ONCE
