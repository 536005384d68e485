// The sum of the exponentials of a row of logits, beside its maximum so that nothing overflows.
#pragma once

#include <cfloat>

#include "kernels/cuda/cross_entropy_kernels.h"
#include "kernels/cuda/instructions.cuh"
#include "kernels/cuda/packs.cuh"

namespace sequela::cuda {

// Elements of a row that a thread moves at once.
template <typename T>
inline constexpr int kInPack = kPackBytes / static_cast<int>(sizeof(T));

// e^x for x <= 0. Of logits that were rounded to bf16 it need not be right to the last place.
template <typename T>
__device__ float ExpFor(float x) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return expf(x);
  } else {
    constexpr float kLog2E = 1.44269502F;
    return Exp2(x * kLog2E);
  }
}

// Of the numbers x that were added: sum e^x = e^max * sum. A NaN stays in the sum.
struct SumOfExps {
  float max = -FLT_MAX;  // not -inf, from which no -inf can be subtracted
  float sum = 0.0F;

  // One exponential, whichever of x and max is larger, and no branch.
  __device__ void Add(float x) {
    const float ratio = expf(-fabsf(x - max));
    const bool larger = x > max;
    sum = larger ? fmaf(sum, ratio, 1.0F) : sum + ratio;
    max = larger ? x : max;
  }
  // One exponential for each, and one for what was added before.
  template <typename T>
  __device__ void Add(const Pack<T, kInPack<T>>& pack) {
    const Floats<kInPack<T>> x = Unpack(pack);
    float of_both = max;
#pragma unroll
    for (int i = 0; i < kInPack<T>; ++i) of_both = fmaxf(of_both, x.v[i]);
    float added = 0.0F;
#pragma unroll
    for (int i = 0; i < kInPack<T>; ++i) added += ExpFor<T>(x.v[i] - of_both);
    sum = fmaf(sum, ExpFor<T>(max - of_both), added);
    max = of_both;
  }
  __device__ void Merge(const SumOfExps& other) {
    const float of_both = fmaxf(max, other.max);
    sum = sum * expf(max - of_both) + other.sum * expf(other.max - of_both);
    max = of_both;
  }
  __device__ SumOfExps FromLane(int mask) const {
    return {__shfl_xor_sync(0xffffffffU, max, mask), __shfl_xor_sync(0xffffffffU, sum, mask)};
  }
  // -ln(e^x / sum of exps).
  __device__ float NegativeLogProbability(float x) const { return logf(sum) + (max - x); }
};

}  // namespace sequela::cuda
