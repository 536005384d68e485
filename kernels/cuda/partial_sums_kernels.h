// The second half of a gradient that is summed over rows: its partial sums, added in order.
#pragma once

#include "kernels/cuda/kernel.h"

namespace sequela::cuda {

inline constexpr int kPartialSumThreads = 512;
inline constexpr int kPartialSumColumns = 32;  // of a block

struct AddPartialSumsParams {
  const float* partials;  // [count, columns]
  std::int64_t count;
  std::int64_t columns;
  float* to;
};
SEQUELA_KERNEL sequela_add_partial_sums(AddPartialSumsParams p);

}  // namespace sequela::cuda
