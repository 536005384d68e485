// The second half of a gradient that is summed over rows: its partial sums, added in order.
#pragma once

#include "kernels/cuda/kernel.h"

namespace sequela::cuda {

inline constexpr int kPartialSumThreads = 512;
// Columns of a block: a sector of memory. Few, so that there are many blocks, and threads enough
// for 64 slices of the partial sums.
inline constexpr int kPartialSumColumns = 8;

struct AddPartialSumsParams {
  const float* partials;  // [count, columns]
  std::int64_t count;
  std::int64_t columns;
  float* to;
};
SEQUELA_KERNEL sequela_add_partial_sums(AddPartialSumsParams p);

}  // namespace sequela::cuda
