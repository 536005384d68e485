// Plain attention, forward: any head size, fp32 or bf16, dropout, in fp32 arithmetic without tensor
// cores. Written to be right and simple; what is large and aligned goes to attention_forward.cu.
// A block of 256 threads runs its tile of queries 32 rows at a time (attention_plain.cuh): scores
// of 32 keys, online softmax, then the same buffer holds the values. Registers: 32 sums and three
// numbers for each of a warp's 4 rows. Shared memory at head size 256: 32 KiB + 32.1 KiB.
#include "kernels/cuda/attention_plain.cuh"

namespace sequela::cuda {
namespace plain {

__device__ inline float MaxOfLanes(float x) {
  for (int step = 16; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
}
__device__ inline float SumOfLanes(float x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// Scores become e^((score - max) * scale): subtracting before scaling keeps large scores exact.
__device__ inline void OnlineSoftmax(float scale, float& score, float& max, float& sum,
                                     float (&out)[kC]) {
  const float new_max = fmaxf(max, MaxOfLanes(score));
  // Nothing seen yet: any finite number will do, all probabilities are e^-inf.
  const float shift = new_max == -INFINITY ? 0.0F : new_max;
  score = expf((score - shift) * scale);
  const float shrink = expf((max - shift) * scale);
  sum = fmaf(sum, shrink, SumOfLanes(score));
  for (int c = 0; c < kC; ++c) out[c] *= shrink;
  max = new_max;
}

// The block's rows [first, first + count), at most 32.
template <typename T>
__device__ void ForwardRows(const AttentionForwardParams<T>& p, const AttentionTile& tile,
                            int first, int count, int head, float* shared) {
  const AttentionInputs<T>& in = p.in;
  const int size = in.head_size, key_head = head / in.heads_per_key_head;
  const int document_begin = in.plan.document_begin[tile.document];
  const AttentionDropoutStream dropout(in.dropout, in.plan.document_id[tile.document], head);
  float* q = shared;
  float* staged = shared + Tiles::kOwned * size;
  Interval sees[kR];
  float max[kR], sum[kR], out[kR][kC];
  Clear(out);
  for (int r = 0; r < kR; ++r) {
    const int row = Warp() * kR + r;
    sees[r] = IntervalOf(in.plan, first + row, row < count);
    max[r] = -INFINITY;
    sum[r] = 0.0F;
  }
  __syncthreads();
  Stage(q, size, in.q, first, count, head, size);
  const int end = in.plan.kv_end[first + count - 1];
  for (int key = in.plan.kv_begin[first]; key < end; key += 32) {
    const int keys = min(32, end - key);
    float p_r[kR];
    __syncthreads();
    Stage(staged, Tiles::StagedStride(size), in.k, key, keys, key_head, size);
    __syncthreads();
    Dots(q, staged, size, p_r);
#pragma unroll
    for (int r = 0; r < kR; ++r) {
      if (!sees[r].Has(key + Lane())) p_r[r] = -INFINITY;
      OnlineSoftmax(in.softmax_scale, p_r[r], max[r], sum[r], out[r]);
      p_r[r] *= Keep(dropout, first + Warp() * kR + r, key + Lane(), document_begin);
    }
    __syncthreads();
    Stage(staged, Tiles::StagedStride(size), in.v, key, keys, key_head, size);
    __syncthreads();
    AddWeighted(p_r, staged, size, out);
  }
  float inverse[kR];
  for (int r = 0; r < kR; ++r) {
    inverse[r] = sum[r] == 0.0F ? 0.0F : 1.0F / sum[r];
    const int row = Warp() * kR + r;
    if (row < count && Lane() == 0) {
      p.lse.Row(first + row)[head] =
          sum[r] == 0.0F ? -INFINITY : max[r] * in.softmax_scale + logf(sum[r]);
    }
  }
  StoreOwned(p.out, first, count, head, size, out, inverse);
}

template <typename T>
__device__ void Forward(const AttentionForwardParams<T>& p) {
  extern __shared__ float shared[];
  const auto [tile, head] =
      WorkOf(p.in.plan, p.in.plan.query_tiles, p.in.num_query_heads, RowBytes<T>(p.in.head_size));
  for (int done = 0; done < tile.count; done += Tiles::kOwned) {
    ForwardRows(p, tile, tile.first + done, min(Tiles::kOwned, tile.count - done), head, shared);
  }
}

}  // namespace plain

SEQUELA_KERNEL __launch_bounds__(AttentionPlainTiles::kThreads)
    sequela_attention_plain_forward_f32(AttentionForwardParams<float> p) {
  plain::Forward(p);
}
SEQUELA_KERNEL __launch_bounds__(AttentionPlainTiles::kThreads)
    sequela_attention_plain_forward_bf16(AttentionForwardParams<bf16> p) {
  plain::Forward(p);
}

}  // namespace sequela::cuda
