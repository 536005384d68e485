#include "kernels/cuda/embedding_kernels.h"
#include "kernels/cuda/partial_sums.cuh"
#include "kernels/cuda/rows.cuh"

namespace sequela::cuda {

// The table's rows stay in the cache, for their tokens come again; `out` passes by.
template <typename T>
__device__ void CopyRow(const EmbeddingForwardParams<T>& p) {
  constexpr int N = PackSize<T>();
  const std::int64_t row = RowOf(p.work);
  if (row >= p.work.rows) return;
  const T* from = p.table.Row(p.token[row]);
  T* to = p.out.Row(row);
  ForPackBatches<N, kEmbeddingCopyBatch>(
      p.work, row, [&](std::uint32_t i, auto part) { return Load<N>(from + i, part); },
      [&](const Pack<T, N>& pack, std::uint32_t i, auto part) { StoreOnce(pack, to + i, part); });
}

// The thread's part of one piece: kPacks packs of columns, `step` columns apart. The gradient rows
// are added one after another to the table's row, or to a partial sum that begins at 0; of kAtOnce
// rows loaded at once those that the piece does not have count as 0.
template <int kPacks, typename T, typename Part>
__device__ inline void SumPiece(const EmbeddingBackwardParams<T>& p, const EmbeddingPiece& piece,
                                std::uint32_t column, std::uint32_t step, Part part) {
  constexpr int N = PackSize<T, float>();
  constexpr int kAtOnce = 4;
  const bool whole = piece.partial < 0;
  float* to = (whole ? p.d_table.Row(piece.token) : p.partials.Row(piece.partial)) + column;
  Floats<N> sum[kPacks] = {};
  if (whole) {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) sum[k] = LoadFloats<N>(to + k * step, part);
  }
  for (std::int32_t at = piece.begin; at < piece.end; at += kAtOnce) {
    Pack<T, N> d_out[kAtOnce][kPacks] = {};
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
      if (at + u < piece.end) {
        const T* from = p.d_out.Row(p.position[at + u]) + column;
#pragma unroll
        for (int k = 0; k < kPacks; ++k) d_out[u][k] = Load<N>(from + k * step, part);
      }
    }
#pragma unroll
    for (int u = 0; u < kAtOnce; ++u) {
#pragma unroll
      for (int k = 0; k < kPacks; ++k) AddTo(sum[k], Unpack(d_out[u][k]));
    }
  }
#pragma unroll
  for (int k = 0; k < kPacks; ++k) StoreFloats(sum[k], to + k * step, part);
}

// A row of the work is a tile of a piece's columns, two packs a thread: a long row is shared among
// blocks, for a piece of many positions is slow already.
template <typename T>
__device__ void SumPieces(const EmbeddingBackwardParams<T>& p) {
  constexpr int N = PackSize<T, float>();
  const auto row = static_cast<std::uint32_t>(RowOf(p.work));
  if (row >= p.work.rows) return;
  const EmbeddingPiece piece = p.pieces[row / p.tiles];
  const std::uint32_t step = N << p.work.log2_threads;
  const std::uint32_t in_row = threadIdx.x & ((1U << p.work.log2_threads) - 1);
  const std::uint32_t column = row % p.tiles * (2 * step) + in_row * N;
  const std::uint32_t columns = p.work.columns;
  if (p.work.vectors && column + step + N <= columns) {
    SumPiece<2>(p, piece, column, step, WholePack());
    return;
  }
  for (std::uint32_t i = column; i < columns && i <= column + step; i += step) {
    WithPart<N>(columns - i, p.work.vectors,
                [&](auto part) { SumPiece<1>(p, piece, i, step, part); });
  }
}

SEQUELA_ROW_KERNEL_OF(6) sequela_embedding_forward_f32(EmbeddingForwardParams<float> p) {
  CopyRow(p);
}
SEQUELA_ROW_KERNEL_OF(6) sequela_embedding_forward_bf16(EmbeddingForwardParams<bf16> p) {
  CopyRow(p);
}
SEQUELA_ROW_KERNEL_OF(5) sequela_embedding_backward_f32(EmbeddingBackwardParams<float> p) {
  SumPieces(p);
}
SEQUELA_ROW_KERNEL_OF(5) sequela_embedding_backward_bf16(EmbeddingBackwardParams<bf16> p) {
  SumPieces(p);
}

SEQUELA_KERNEL __launch_bounds__(kPartialSumThreads)
    sequela_embedding_split_tokens(EmbeddingSplitParams p) {
  const EmbeddingSplitToken split = p.tokens[blockIdx.x / p.tiles];
  AddColumnSums<kEmbeddingSplitColumns>(p.partials.Row(split.first_partial), split.num_partials,
                                        p.columns, blockIdx.x % p.tiles,
                                        p.d_table.Row(split.token));
}

}  // namespace sequela::cuda
