// How a batch's positions are grouped by token (kernels/embedding.h), as host and device read it.
#pragma once

#include <cstdint>

namespace sequela {

// Positions of one token whose gradients are summed one after another.
struct alignas(16) EmbeddingPiece {  // one access of a thread
  std::int32_t token;
  std::int32_t begin;  // into the positions
  std::int32_t end;
  std::int32_t partial;  // row of the partial sums, or -1: the token's only piece
};

// A token with several pieces: its partial sums, neighbours, are added in order.
struct EmbeddingSplitToken {
  std::int32_t token;
  std::int32_t first_partial;
  std::int32_t num_partials;
};

}  // namespace sequela
