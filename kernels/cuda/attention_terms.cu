// What backward attention needs of each row beside its vectors: lse and delta = out . dout, which
// are read once for many keys. Bound by memory.
#include <cmath>

#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/elements.cuh"

namespace sequela::cuda {
namespace {

template <typename T>
__device__ void StoreTerms(const AttentionBackwardParams<T>& p, std::int64_t row, std::int64_t head,
                           float delta) {
  const float lse = p.lse.Row(row)[head];
  p.terms[head * p.num_tokens + row] = {lse == -INFINITY ? INFINITY : lse * p.lse_factor, delta};
}

// One (row, head) a thread. delta is summed in the order in which the plain kernels sum dP: where a
// row puts all its weight on one key, out is that key's value and dP - delta is exactly 0.
template <typename T>
__device__ void Terms(const AttentionBackwardParams<T>& p) {
  const std::int64_t pair =
      static_cast<std::int64_t>(blockIdx.x) * kAttentionTermsThreads + threadIdx.x;
  const std::int64_t row = pair / p.in.num_query_heads, head = pair % p.in.num_query_heads;
  if (row >= p.num_tokens) return;
  const T* out = p.out.Row(row) + head * p.in.head_size;
  const T* dout = p.dout.Row(row) + head * p.in.head_size;
  float delta = 0.0F;
  for (int c = 0; c < p.in.head_size; ++c) {
    delta = fmaf(LoadFloat(dout + c), LoadFloat(out + c), delta);
  }
  StoreTerms(p, row, head, delta);
}

__device__ float DotOfPair(std::uint32_t a, std::uint32_t b, float sum) {
  sum = fmaf(__uint_as_float(a << 16), __uint_as_float(b << 16), sum);
  return fmaf(__uint_as_float(a & 0xffff0000U), __uint_as_float(b & 0xffff0000U), sum);
}

}  // namespace

SEQUELA_KERNEL __launch_bounds__(kAttentionTermsThreads)
    sequela_attention_terms_f32(AttentionBackwardParams<float> p) {
  Terms(p);
}
SEQUELA_KERNEL __launch_bounds__(kAttentionTermsThreads)
    sequela_attention_terms_bf16(AttentionBackwardParams<bf16> p) {
  Terms(p);
}

// Eight lanes a (row, head), 16 bytes a load: head size 64 or 128, rows at multiples of 16 bytes.
SEQUELA_KERNEL __launch_bounds__(kAttentionTermsThreads)
    sequela_attention_terms_aligned(AttentionBackwardParams<bf16> p) {
  const std::int64_t thread =
      static_cast<std::int64_t>(blockIdx.x) * kAttentionTermsThreads + threadIdx.x;
  const std::int64_t pairs = p.num_tokens * p.in.num_query_heads;
  const int lane = static_cast<int>(threadIdx.x) % kAttentionTermsLanes;
  // Lanes without a pair help to shuffle.
  const std::int64_t pair = min(thread / kAttentionTermsLanes, pairs - 1);
  const std::int64_t row = pair / p.in.num_query_heads, head = pair % p.in.num_query_heads;
  const auto* out = reinterpret_cast<const uint4*>(p.out.Row(row) + head * p.in.head_size);
  const auto* dout = reinterpret_cast<const uint4*>(p.dout.Row(row) + head * p.in.head_size);
  float delta = 0.0F;
  for (int i = lane; i < p.in.head_size / 8; i += kAttentionTermsLanes) {
    const uint4 a = out[i], b = dout[i];
    delta =
        DotOfPair(a.w, b.w, DotOfPair(a.z, b.z, DotOfPair(a.y, b.y, DotOfPair(a.x, b.x, delta))));
  }
  for (int step = kAttentionTermsLanes / 2; step > 0; step /= 2) {
    delta += __shfl_xor_sync(0xffffffffU, delta, step);
  }
  if (lane == 0 && thread / kAttentionTermsLanes < pairs) StoreTerms(p, row, head, delta);
}

}  // namespace sequela::cuda
