// Tiles in shared memory that are read in another order than they were written.
#include <cuda_bf16.h>

#include "tests/ptx/faults/fault.cuh"

namespace sequela::faults {

// The transpose of 32 x 32, its columns moved within their row so that no two lanes want one bank.
template <Fault kFault>
__device__ void Transpose(const FaultParams& p) {
  __shared__ float tile[32][32];
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const bool swizzled = kFault != Fault::kNoSwizzle;
  for (int row = warp; row < 32; row += kThreads / 32) {
    tile[row][swizzled ? lane ^ row : lane] = p.in[row * 32 + lane];
  }
  __syncthreads();
  const bool read_swizzled = swizzled && kFault != Fault::kWrongSwizzle;
  for (int row = warp; row < 32; row += kThreads / 32) {
    p.out[row * 32 + lane] = tile[lane][read_swizzled ? row ^ lane : row];
  }
}
FAULT_KERNEL(transpose, Transpose, kNone)
FAULT_KERNEL(transpose_wrong_swizzle, Transpose, kWrongSwizzle)
FAULT_KERNEL(transpose_no_swizzle, Transpose, kNoSwizzle)

// out = A B of one warp: A is 16 x 16, B 16 x 8, both by rows and one after the other in `in`.
template <Fault kFault>
__device__ void Product(const FaultParams& p) {
  __shared__ __align__(16) __nv_bfloat16 a[16 * 16];
  __shared__ __align__(16) __nv_bfloat16 b[16 * 8];
  const unsigned lane = threadIdx.x;
  for (unsigned i = lane; i < 16 * 16; i += 32) a[i] = __float2bfloat16_rn(p.in[i]);
  for (unsigned i = lane; i < 16 * 8; i += 32) b[i] = __float2bfloat16_rn(p.in[16 * 16 + i]);
  __syncwarp();
  std::uint32_t fa[4];
  std::uint32_t fb[2];
  const auto address = [](const void* at) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(at));
  };
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(fa[0]), "=r"(fa[1]), "=r"(fa[2]), "=r"(fa[3])
               : "r"(address(a + lane % 16 * 16 + lane / 16 * 8)));
  if (kFault == Fault::kNotTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(fb[0]), "=r"(fb[1])
                 : "r"(address(b + lane % 16 * 8)));
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(fb[0]), "=r"(fb[1])
                 : "r"(address(b + lane % 16 * 8)));
  }
  float c[4] = {};
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[0]), "r"(fb[1]));
  for (unsigned i = 0; i < 4; ++i) {
    p.out[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = c[i];
  }
}
FAULT_KERNEL(product, Product, kNone)
FAULT_KERNEL(product_not_transposed, Product, kNotTransposed)

}  // namespace sequela::faults
