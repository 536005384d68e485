// What the backward kernels on tensor cores share.
#pragma once

#include "kernels/cuda/attention_rows.cuh"

namespace sequela::cuda {

// A score -> its probability. c = softmax scale * log2(e); lse in powers of two.
__device__ inline float Probability(float c, float lse, bool visible, float score) {
  return visible ? Exp2(fmaf(score, c, -lse)) : 0.0F;
}

// Scores -> probabilities, and their gradients -> the gradients of q . k without the softmax scale,
// which the sums get at the end.
__device__ inline void ScoreGradient(float c, const AttentionRowTerms& terms, bool visible,
                                     float& score, float& gradient) {
  score = Probability(c, terms.lse, visible, score);
  gradient = score * (gradient - terms.delta);
}

}  // namespace sequela::cuda
