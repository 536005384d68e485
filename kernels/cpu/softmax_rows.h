// Softmax arithmetic on one row of fp32 logits, vectorised. On one thread; sums in a fixed order.
#pragma once

#include <cstdint>

#include "kernels/base/bf16.h"

namespace sequela::cpu {

// sum_j exp(x_j) = exp(max) * sum. A row of -inf alone has max = -inf and sum = NaN; NaN stays NaN.
struct SumOfExps {
  float max = 0.0F;
  float sum = 0.0F;
};
SumOfExps RowSumOfExps(const float* x, std::int64_t count);
// The same, and x_j becomes exp(x_j - max).
SumOfExps ExpRow(float* x, std::int64_t count);

// -ln(exp(x) / sum of exps).
double NegativeLogProbability(const SumOfExps& exps, float x);

// out_j = weight * (exps_j / sum - [j == target]): the gradient of a weighted softmax loss, from
// what ExpRow leaves. `out` may be exps itself, also as bf16 numbers that begin where exps begins.
void SoftmaxGradientRow(const float* exps, std::int64_t count, float sum, std::int64_t target,
                        float weight, float* out);
void SoftmaxGradientRow(const float* exps, std::int64_t count, float sum, std::int64_t target,
                        float weight, bf16* out);

// Numbers larger than x[target], and equal ones before it.
std::int64_t RankOf(const float* x, std::int64_t count, std::int64_t target);

// x_j -= y_j.
void SubtractRow(const float* y, float* x, std::int64_t count);

}  // namespace sequela::cpu
