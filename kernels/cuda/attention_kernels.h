// The kernels of attention: contracts in kernels/attention.h, the choice between the two families
// in attention.cc. A block is one (tile of the plan, head): attention_work.cuh.
#pragma once

#include "kernels/cuda/kernel.h"
#include "kernels/layout/attention_dropout.h"
#include "kernels/layout/attention_image.h"
#include "kernels/layout/attention_tiles.h"

namespace sequela::cuda {

// What forward and backward are told alike.
template <typename T>
struct AttentionInputs {
  Rows<const T> q;  // [T, N * H]
  Rows<const T> k;  // [T, G * H]
  Rows<const T> v;
  AttentionDeviceView plan;
  AttentionDropoutSettings dropout;  // the plain kernels alone
  float softmax_scale;
  std::int32_t num_query_heads;
  std::int32_t heads_per_key_head;
  std::int32_t head_size;
};

template <typename T>
struct AttentionForwardParams {
  AttentionInputs<T> in;
  Rows<T> out;      // [T, N * H]
  Rows<float> lse;  // [T, N]
};

// What the backward kernels need to know of a row beside its vectors.
struct AttentionRowTerms {
  float lse;    // +inf where the row sees nothing: its probabilities are then 0
  float delta;  // out . dout
};

template <typename T>
struct AttentionBackwardParams {
  AttentionInputs<T> in;
  Rows<const T> out;
  Rows<const float> lse;
  Rows<const T> dout;
  Rows<T> dq;
  Rows<T> dk;
  Rows<T> dv;
  AttentionRowTerms* terms;  // [N][T], workspace; written by sequela_attention_terms_*
  std::int64_t num_tokens;
  float lse_factor;  // of AttentionRowTerms::lse: 1, or log2(e) for kernels that use 2^x
};

// Terms of all rows, one (row, head) a thread; `aligned` is for what the tensor-core kernels know,
// and gives it kAttentionTermsLanes threads.
inline constexpr int kAttentionTermsThreads = 128;
inline constexpr int kAttentionTermsLanes = 8;
SEQUELA_KERNEL sequela_attention_terms_f32(AttentionBackwardParams<float> p);
SEQUELA_KERNEL sequela_attention_terms_bf16(AttentionBackwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_terms_aligned(AttentionBackwardParams<bf16> p);

// Any head size that is a multiple of 8 up to 256; AttentionPlainTiles. Forward and dQ take
// query_tiles and query heads, dK/dV key_tiles and key heads.
SEQUELA_KERNEL sequela_attention_plain_forward_f32(AttentionForwardParams<float> p);
SEQUELA_KERNEL sequela_attention_plain_forward_bf16(AttentionForwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_plain_dq_f32(AttentionBackwardParams<float> p);
SEQUELA_KERNEL sequela_attention_plain_dq_bf16(AttentionBackwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_plain_dkv_f32(AttentionBackwardParams<float> p);
SEQUELA_KERNEL sequela_attention_plain_dkv_bf16(AttentionBackwardParams<bf16> p);

// Tensor cores: head size 64 or 128, no dropout, rows and pointers at multiples of 16 bytes.
SEQUELA_KERNEL sequela_attention_forward_64(AttentionForwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_forward_128(AttentionForwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_dq_64(AttentionBackwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_dq_128(AttentionBackwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_dkv_64(AttentionBackwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_dkv_128(AttentionBackwardParams<bf16> p);

// The same for sm_90a alone (hopper/), with the products of warpgroups.
SEQUELA_KERNEL sequela_attention_forward_64_hopper(AttentionForwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_forward_128_hopper(AttentionForwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_dq_64_hopper(AttentionBackwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_dq_128_hopper(AttentionBackwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_dkv_64_hopper(AttentionBackwardParams<bf16> p);
SEQUELA_KERNEL sequela_attention_dkv_128_hopper(AttentionBackwardParams<bf16> p);

}  // namespace sequela::cuda
