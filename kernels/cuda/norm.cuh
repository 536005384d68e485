// What the norm's forward and backward share: a thread's packs of a group, kept or beyond.
#pragma once

#include "kernels/cuda/packs.cuh"
#include "kernels/cuda/rms_norm_kernels.h"

namespace sequela::cuda {

// The share of one thread in one group. Its first kKept packs are kept in registers; where the
// memory does not suit packs none is, for the many small accesses want the registers.
template <int N, bool kVectors, int kKept = kVectors ? kKeptPacks : 0>
struct GroupShare {
  std::uint32_t size;   // of the group, 0 for a thread without one
  std::uint32_t first;  // element
  std::uint32_t step;   // elements from one of its packs to the next

  __device__ GroupShare(const NormWork& work, bool inside)
      : size(inside ? work.size : 0),
        first((threadIdx.x & ((1U << work.log2_threads) - 1)) * N),
        step(N << work.log2_threads) {}

  __device__ auto PartAt(std::uint32_t i) const {
    if constexpr (kVectors) {
      return WholePack();
    } else {
      return FirstElements{size - i < N ? size - i : N};
    }
  }
  // body(k, i, part) for the kept packs; i is a pack's first element.
  template <typename Body>
  __device__ void ForKept(const Body& body) const {
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
      const std::uint32_t i = first + k * step;
      if (i < size) body(k, i, PartAt(i));
    }
  }
  // body(i, part) for the others.
  template <typename Body>
  __device__ void ForBeyond(const Body& body) const {
    for (std::uint32_t i = first + kKept * step; i < size; i += step) body(i, PartAt(i));
  }
};

}  // namespace sequela::cuda
