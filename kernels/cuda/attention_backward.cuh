// What the two backward kernels on tensor cores share.
#pragma once

#include "kernels/cuda/attention_tiles.cuh"

namespace sequela::cuda {

// Scores -> probabilities, and their gradients -> the gradients of q . k without the softmax scale,
// which the sums get at the end. c = softmax scale * log2(e); terms.lse in powers of two.
__device__ inline void ScoreGradient(float c, const AttentionRowTerms& terms, bool visible,
                                     float& score, float& gradient) {
  score = visible ? Exp2(fmaf(score, c, -terms.lse)) : 0.0F;
  gradient = score * (gradient - terms.delta);
}

}  // namespace sequela::cuda
