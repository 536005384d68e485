// Warpgroup products without what must stand around them.
#include <cuda_bf16.h>

#include "tests/ptx/faults/fault.cuh"

namespace sequela::faults {

constexpr int kEdge = 64;  // of all matrices
constexpr int kTileElements = kEdge * kEdge;
constexpr int kRegisters = kEdge / 2;

// Of a row-major matrix of 64 by 64 with rows of 128 bytes, whose 16-byte pieces change places.
__device__ std::uint32_t Place(std::uint32_t row, std::uint32_t column) {
  return row * kEdge + (column ^ (row % 8 * 8));
}
__device__ std::uint64_t Descriptor(const __nv_bfloat16* tile, int k, std::uint64_t swizzle) {
  constexpr std::uint64_t kEightRows = 8 * 128 / 16;
  const auto start = static_cast<std::uint32_t>(__cvta_generic_to_shared(tile)) + 2 * k;
  return start / 16 | std::uint64_t{1} << 16 | kEightRows << 32 | swizzle << 62;
}

// The compiler does not move what touches these registers past here.
__device__ void Hold(float (&d)[kRegisters]) {
  for (float& element : d) asm volatile("" : "+f"(element)::"memory");
}

#define D8(i)                                                                                     \
  "+f"(d[8 * i]), "+f"(d[8 * i + 1]), "+f"(d[8 * i + 2]), "+f"(d[8 * i + 3]), "+f"(d[8 * i + 4]), \
      "+f"(d[8 * i + 5]), "+f"(d[8 * i + 6]), "+f"(d[8 * i + 7])
__device__ void Multiply(float (&d)[kRegisters], std::uint64_t a, std::uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, 1, 1, 1, 0, 0;"
      : D8(0), D8(1), D8(2), D8(3)
      : "l"(a), "l"(b)
      : "memory");
}
#undef D8

__device__ void Store(__nv_bfloat16* tile, const float* from) {
  for (int i = static_cast<int>(threadIdx.x); i < kTileElements; i += kThreads) {
    tile[Place(i / kEdge, i % kEdge)] = __float2bfloat16_rn(from[i]);
  }
}

__device__ void ProxyFence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

template <Fault kFault>
__device__ void Fence() {
  if (kFault != Fault::kNoFence) asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
template <Fault kFault>
__device__ void Commit() {
  if (kFault != Fault::kNoCommit) asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <Fault kFault>
__device__ void Wait() {
  if (kFault == Fault::kWaitForTooFew) {
    asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
  } else if (kFault != Fault::kNoWait) {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  }
}

// in: a matrix B by column and k, then matrices A_0, A_1, ... by row and k.
// out = A_n B + (A_(n - 1) B + (...) / 2) / 2: the next A is stored while the last is multiplied.
template <Fault kFault>
__device__ void Products(const FaultParams& p) {
  __shared__ __align__(1024) __nv_bfloat16 b[kTileElements];
  __shared__ __align__(1024) __nv_bfloat16 a[2][kTileElements];
  constexpr std::uint64_t kSwizzle = kFault == Fault::kWrongSwizzle ? 2 : 1;
  float d[kRegisters] = {};
  const int tiles = p.count / kTileElements - 1;
  if (kFault == Fault::kEarlyProxyFence) ProxyFence();
  Store(b, p.in);
  Store(a[0], p.in + kTileElements);
  for (int tile = 0; tile < tiles; ++tile) {
    if (kFault != Fault::kNoProxyFence && kFault != Fault::kEarlyProxyFence) ProxyFence();
    if (kFault != Fault::kDroppedBarrier) __syncthreads();
    if (kFault == Fault::kAfterFence) {
      Fence<kFault>();
      Hold(d);
    }
    for (float& element : d) element = __fmul_rn(element, 0.5F);
    Hold(d);
    if (kFault != Fault::kAfterFence) Fence<kFault>();
    for (int k = 0; k < kEdge; k += 16) {
      Multiply(d, Descriptor(a[tile % 2], k, kSwizzle), Descriptor(b, k, kSwizzle));
    }
    Commit<kFault>();
    const int next = kFault == Fault::kOverwritten ? tile : tile + 1;
    if (tile + 1 < tiles) Store(a[next % 2], p.in + (tile + 2) * kTileElements);
    Wait<kFault>();
    Hold(d);
  }
  const int row = static_cast<int>(threadIdx.x) / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4;
  for (int i = 0; i < kRegisters; ++i) {
    const int column = i / 4 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2;
    p.out[(row + i / 2 % 2 * 8) * kEdge + column] = d[i];
  }
}
FAULT_KERNEL(products, Products, kNone)
FAULT_KERNEL(products_no_proxy_fence, Products, kNoProxyFence)
FAULT_KERNEL(products_early_proxy_fence, Products, kEarlyProxyFence)
FAULT_KERNEL(products_dropped_barrier, Products, kDroppedBarrier)
FAULT_KERNEL(products_no_fence, Products, kNoFence)
FAULT_KERNEL(products_after_fence, Products, kAfterFence)
FAULT_KERNEL(products_no_commit, Products, kNoCommit)
FAULT_KERNEL(products_no_wait, Products, kNoWait)
FAULT_KERNEL(products_wait_for_too_few, Products, kWaitForTooFew)
FAULT_KERNEL(products_wrong_swizzle, Products, kWrongSwizzle)
FAULT_KERNEL(products_overwritten, Products, kOverwritten)

}  // namespace sequela::faults
