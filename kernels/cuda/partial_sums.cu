#include "kernels/cuda/partial_sums.cuh"

namespace sequela::cuda {

SEQUELA_KERNEL __launch_bounds__(kPartialSumThreads)
    sequela_add_partial_sums(AddPartialSumsParams p) {
  AddColumnSums<kPartialSumColumns>(p.partials, p.count, p.columns, blockIdx.x, p.to);
}

}  // namespace sequela::cuda
