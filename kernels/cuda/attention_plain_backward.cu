// Plain attention, backward: what attention_plain_forward.cu says of forward holds here. Three
// kernels without atomics: what a row needs beside its vectors (lse and delta = out . dout), dQ
// over the keys of a row, dK/dV over the rows and heads that see a key. The one buffer for the
// other side is filled up to three times a step; shared memory at head size 256: 64 KiB + 32.1 KiB.
// Registers: 32 sums for dQ, 64 for dK and dV.
#include "kernels/cuda/attention_plain.cuh"

namespace sequela::cuda {
namespace plain {

// Scores -> the probabilities before dropout; dp -> the gradient of q . k.
__device__ inline void ScoreGradient(float scale, const AttentionRowTerms& terms, bool visible,
                                     float keep, float& score, float& dp) {
  // Rounded as lse was, so that large scores stay exact.
  score = visible ? expf(score * scale - terms.lse) : 0.0F;
  dp = score * scale * (dp * keep - terms.delta);
}

template <typename T>
__device__ void QueryGradientRows(const AttentionBackwardParams<T>& p, const AttentionTile& tile,
                                  int first, int count, int head, float* shared) {
  const AttentionInputs<T>& in = p.in;
  const int size = in.head_size, stride = Tiles::StagedStride(size);
  const int key_head = head / in.heads_per_key_head;
  const int document_begin = in.plan.document_begin[tile.document];
  const AttentionDropoutStream dropout(in.dropout, in.plan.document_id[tile.document], head);
  float* q = shared;
  float* dout = q + Tiles::kOwned * size;
  float* staged = dout + Tiles::kOwned * size;
  Interval sees[kR];
  AttentionRowTerms terms[kR];
  float dq[kR][kC];
  Clear(dq);
  for (int r = 0; r < kR; ++r) {
    const int row = Warp() * kR + r;
    sees[r] = IntervalOf(in.plan, first + row, row < count);
    terms[r] = row < count ? p.terms[head * p.num_tokens + first + row] : AttentionRowTerms{};
  }
  __syncthreads();
  Stage(q, size, in.q, first, count, head, size);
  Stage(dout, size, p.dout, first, count, head, size);
  const int end = in.plan.kv_end[first + count - 1];
  for (int key = in.plan.kv_begin[first]; key < end; key += 32) {
    const int keys = min(32, end - key);
    float score[kR], ds[kR];
    __syncthreads();
    Stage(staged, stride, in.v, key, keys, key_head, size);
    __syncthreads();
    Dots(dout, staged, size, ds);
    __syncthreads();
    Stage(staged, stride, in.k, key, keys, key_head, size);
    __syncthreads();
    Dots(q, staged, size, score);
#pragma unroll
    for (int r = 0; r < kR; ++r) {
      const float keep = Keep(dropout, first + Warp() * kR + r, key + Lane(), document_begin);
      ScoreGradient(in.softmax_scale, terms[r], sees[r].Has(key + Lane()), keep, score[r], ds[r]);
    }
    AddWeighted(ds, staged, size, dq);
  }
  const float one[kR] = {1.0F, 1.0F, 1.0F, 1.0F};
  StoreOwned(p.dq, first, count, head, size, dq, one);
}

template <typename T>
__device__ void QueryGradient(const AttentionBackwardParams<T>& p) {
  extern __shared__ float shared[];
  const auto [tile, head] =
      WorkOf(p.in.plan, p.in.plan.query_tiles, p.in.num_query_heads, RowBytes<T>(p.in.head_size));
  for (int done = 0; done < tile.count; done += Tiles::kOwned) {
    QueryGradientRows(p, tile, tile.first + done, min(Tiles::kOwned, tile.count - done), head,
                      shared);
  }
}

// The block's keys [first, first + count); rows are the other side, one a lane.
template <typename T>
class KeyGradientRows {
 public:
  __device__ KeyGradientRows(const AttentionBackwardParams<T>& p, const AttentionTile& tile,
                             int first, int count, int key_head, float* shared)
      : p_(p), tile_(tile), first_(first), count_(count), key_head_(key_head) {
    size_ = p.in.head_size;
    k_ = shared;
    v_ = k_ + Tiles::kOwned * size_;
    staged_ = v_ + Tiles::kOwned * size_;
  }

  __device__ void Run() {
    Clear(dk_);
    Clear(dv_);
    __syncthreads();
    Stage(k_, size_, p_.in.k, first_, count_, key_head_, size_);
    Stage(v_, size_, p_.in.v, first_, count_, key_head_, size_);
    for (int h = 0; h < p_.in.heads_per_key_head; ++h) {
      const int head = key_head_ * p_.in.heads_per_key_head + h;
      for (int row = tile_.begin; row < tile_.end; row += 32) Step(head, row);
    }
    const float one[kR] = {1.0F, 1.0F, 1.0F, 1.0F};
    StoreOwned(p_.dk, first_, count_, key_head_, size_, dk_, one);
    StoreOwned(p_.dv, first_, count_, key_head_, size_, dv_, one);
  }

 private:
  __device__ void StageRows(const Rows<const T>& from, int row, int head) {
    __syncthreads();
    Stage(staged_, Tiles::StagedStride(size_), from, row, min(32, tile_.end - row), head, size_);
    __syncthreads();
  }

  __device__ void Step(int head, int row) {
    const AttentionDropoutStream dropout(p_.in.dropout, p_.in.plan.document_id[tile_.document],
                                         head);
    const int document_begin = p_.in.plan.document_begin[tile_.document];
    const int mine = row + Lane();
    const bool exists = mine < tile_.end;
    const Interval sees = IntervalOf(p_.in.plan, mine, exists);
    const AttentionRowTerms terms =
        exists ? p_.terms[head * p_.num_tokens + mine] : AttentionRowTerms{};
    float score[kR], ds[kR];
    StageRows(p_.dout, row, head);
    Dots(v_, staged_, size_, ds);
    StageRows(p_.in.q, row, head);
    Dots(k_, staged_, size_, score);
#pragma unroll
    for (int r = 0; r < kR; ++r) {
      const int key = first_ + Warp() * kR + r;
      const float keep = Keep(dropout, mine, key, document_begin);
      ScoreGradient(p_.in.softmax_scale, terms, sees.Has(key), keep, score[r], ds[r]);
      score[r] *= keep;
    }
    AddWeighted(ds, staged_, size_, dk_);
    StageRows(p_.dout, row, head);
    AddWeighted(score, staged_, size_, dv_);
  }

  const AttentionBackwardParams<T>& p_;
  const AttentionTile& tile_;
  int first_, count_, key_head_, size_;
  float* k_;
  float* v_;
  float* staged_;
  float dk_[kR][kC], dv_[kR][kC];
};

template <typename T>
__device__ void KeyGradient(const AttentionBackwardParams<T>& p) {
  extern __shared__ float shared[];
  const int heads = p.in.num_query_heads / p.in.heads_per_key_head;
  const auto [tile, head] = WorkOf(p.in.plan, p.in.plan.key_tiles, heads,
                                   RowBytes<T>(p.in.head_size) * p.in.heads_per_key_head);
  for (int done = 0; done < tile.count; done += Tiles::kOwned) {
    KeyGradientRows<T>(p, tile, tile.first + done, min(Tiles::kOwned, tile.count - done), head,
                       shared)
        .Run();
  }
}

}  // namespace plain

SEQUELA_KERNEL __launch_bounds__(AttentionPlainTiles::kThreads)
    sequela_attention_plain_dq_f32(AttentionBackwardParams<float> p) {
  plain::QueryGradient(p);
}
SEQUELA_KERNEL __launch_bounds__(AttentionPlainTiles::kThreads)
    sequela_attention_plain_dq_bf16(AttentionBackwardParams<bf16> p) {
  plain::QueryGradient(p);
}

SEQUELA_KERNEL __launch_bounds__(AttentionPlainTiles::kThreads)
    sequela_attention_plain_dkv_f32(AttentionBackwardParams<float> p) {
  plain::KeyGradient(p);
}
SEQUELA_KERNEL __launch_bounds__(AttentionPlainTiles::kThreads)
    sequela_attention_plain_dkv_bf16(AttentionBackwardParams<bf16> p) {
  plain::KeyGradient(p);
}

}  // namespace sequela::cuda
