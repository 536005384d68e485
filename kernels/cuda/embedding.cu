#include "kernels/cuda/embedding_kernels.h"
#include "kernels/cuda/partial_sums.cuh"
#include "kernels/cuda/rows.cuh"

namespace sequela::cuda {

template <typename T>
__device__ void CopyRow(const EmbeddingForwardParams<T>& p) {
  constexpr int N = PackSize<T>();
  const std::int64_t row = RowOf(p.work);
  if (row >= p.work.rows) return;
  const T* from = p.table.Row(p.token[row]);
  ForPacks<N>(p.work, row, [&](std::uint32_t i, auto part) {
    Store(Load<N>(from + i, part), p.out.Row(row) + i, part);
  });
}

// Adds the gradient rows of one piece, one after another, to the table's row, or to a partial sum
// that begins at 0.
template <typename T>
__device__ void SumPiece(const EmbeddingBackwardParams<T>& p) {
  constexpr int N = PackSize<T, float>();
  const std::int64_t row = RowOf(p.work);
  if (row >= p.work.rows) return;
  const EmbeddingPiece piece = p.pieces[row];
  const bool whole = piece.partial < 0;
  float* to = whole ? p.d_table.Row(piece.token) : p.partials.Row(piece.partial);
  ForPacks<N>(p.work, row, [&](std::uint32_t i, auto part) {
    Floats<N> sum = {};
    if (whole) sum = LoadFloats<N>(to + i, part);
#pragma unroll 4
    for (std::int32_t at = piece.begin; at < piece.end; ++at) {
      const Floats<N> d_out = LoadFloats<N>(p.d_out.Row(p.position[at]) + i, part);
#pragma unroll
      for (int j = 0; j < N; ++j) sum.v[j] += d_out.v[j];
    }
    StoreFloats(sum, to + i, part);
  });
}

SEQUELA_ROW_KERNEL sequela_embedding_forward_f32(EmbeddingForwardParams<float> p) { CopyRow(p); }
SEQUELA_ROW_KERNEL sequela_embedding_forward_bf16(EmbeddingForwardParams<bf16> p) { CopyRow(p); }
SEQUELA_ROW_KERNEL sequela_embedding_backward_f32(EmbeddingBackwardParams<float> p) { SumPiece(p); }
SEQUELA_ROW_KERNEL sequela_embedding_backward_bf16(EmbeddingBackwardParams<bf16> p) { SumPiece(p); }

SEQUELA_KERNEL __launch_bounds__(kPartialSumThreads)
    sequela_embedding_split_tokens(EmbeddingSplitParams p) {
  const EmbeddingSplitToken split = p.tokens[blockIdx.x / p.tiles];
  AddColumnSums<kEmbeddingSplitColumns>(p.partials.Row(split.first_partial), split.num_partials,
                                        p.columns, blockIdx.x % p.tiles,
                                        p.d_table.Row(split.token));
}

}  // namespace sequela::cuda
