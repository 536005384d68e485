// Token embedding, forward and backward (kernels/embedding.h).
#pragma once

#include "kernels/cuda/row_kernels.h"
#include "kernels/layout/embedding_image.h"

namespace sequela::cuda {

inline constexpr int kEmbeddingCopyBatch = 4;  // packs that a thread of forward loads at once

template <typename T>
struct EmbeddingForwardParams {
  RowWork work;  // of out
  const std::int32_t* token;
  Rows<const T> table;
  Rows<T> out;
};
SEQUELA_KERNEL sequela_embedding_forward_f32(EmbeddingForwardParams<float> p);
SEQUELA_KERNEL sequela_embedding_forward_bf16(EmbeddingForwardParams<bf16> p);

template <typename T>
struct EmbeddingBackwardParams {
  RowWork work;         // its rows are the tiles of the first piece, then those of the next
  std::uint32_t tiles;  // of two packs a thread
  const EmbeddingPiece* pieces;
  const std::int32_t* position;
  Rows<const T> d_out;
  Rows<float> d_table;
  Rows<float> partials;
};
SEQUELA_KERNEL sequela_embedding_backward_f32(EmbeddingBackwardParams<float> p);
SEQUELA_KERNEL sequela_embedding_backward_bf16(EmbeddingBackwardParams<bf16> p);

// Of a block of kPartialSumThreads: more than of other partial sums, for many tokens have few each.
inline constexpr int kEmbeddingSplitColumns = 32;

struct EmbeddingSplitParams {
  const EmbeddingSplitToken* tokens;
  Rows<const float> partials;  // without gaps
  Rows<float> d_table;
  std::uint32_t columns;
  std::uint32_t tiles;  // of kEmbeddingSplitColumns columns
};
// Blocks: the tiles of the first token, then those of the next.
SEQUELA_KERNEL sequela_embedding_split_tokens(EmbeddingSplitParams p);

}  // namespace sequela::cuda
