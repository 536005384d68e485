// The instructions of sm_80 that the tensor-core kernels are made of, one function each.
#pragma once

#include <cstdint>

#include "kernels/cuda/instructions.cuh"
#include "kernels/layout/mma_tiles.h"

namespace sequela::cuda {

// An address in shared memory as instructions take it.
__device__ inline std::uint32_t SharedAddress(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

// Copies 16 bytes in the background; `valid` false writes zeros and reads nothing.
__device__ inline void CopyAsync16(std::uint32_t to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(to), "l"(from) : "memory");
}
__device__ inline void CopyAsync16(std::uint32_t to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
}
__device__ inline void CopyAsync8(std::uint32_t to, const void* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;\n" ::"r"(to), "l"(from),
               "r"(valid ? 8 : 0)
               : "memory");
}
__device__ inline void CopyAsync4(std::uint32_t to, const void* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(to), "l"(from),
               "r"(valid ? 4 : 0)
               : "memory");
}
__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
template <int kStillFlying>
__device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kStillFlying) : "memory");
}

// Four 8x8 matrices; lane l names a row of matrix l / 8.
struct Fragment {
  std::uint32_t r[4];
};
__device__ inline Fragment LoadMatrix(std::uint32_t address) {
  Fragment f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(f.r[0]), "=r"(f.r[1]), "=r"(f.r[2]), "=r"(f.r[3])
               : "r"(address)
               : "memory");
  return f;
}
__device__ inline Fragment LoadMatrixTransposed(std::uint32_t address) {
  Fragment f;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(f.r[0]), "=r"(f.r[1]), "=r"(f.r[2]), "=r"(f.r[3])
               : "r"(address)
               : "memory");
  return f;
}

// d [16 x 8] += a [16 x 16] b [16 x 8].
__device__ inline void MultiplyAdd(float (&d)[4], const Fragment& a, std::uint32_t b0,
                                   std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b0), "r"(b1));
}

// Accumulators of 16 columns as the A operand of a step over these columns.
__device__ inline Fragment PackA(const float (&left)[4], const float (&right)[4]) {
  return {{PackBf16(left[0], left[1]), PackBf16(left[2], left[3]), PackBf16(right[0], right[1]),
           PackBf16(right[2], right[3])}};
}

}  // namespace sequela::cuda
