#include "kernels/cuda/partial_sums.h"

#include "kernels/base/int_math.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/partial_sums_kernels.h"

namespace sequela::cuda {

void AddPartialSums(const Exec& exec, const float* partials, std::int64_t count,
                    std::span<float> to) {
  Launch(exec, CUDA_KERNEL(sequela_add_partial_sums),
         {.blocks = CeilDiv(std::ssize(to), kPartialSumColumns), .threads = kPartialSumThreads},
         AddPartialSumsParams{
             .partials = partials, .count = count, .columns = std::ssize(to), .to = to.data()});
}

}  // namespace sequela::cuda
