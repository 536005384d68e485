// Online softmax of one row whose scores come block by block (Milakov and Gimelshein, "Online
// normalizer calculation for softmax", 2018), in powers of two: c = scale * log2(e) turns
// e^(scale * s) into 2^(c * s). Subtracting before scaling keeps large scores exact.
#pragma once

#include <cmath>

#include "kernels/base/host_device.h"

namespace sequela {

struct OnlineSoftmaxStep {
  float shift;     // subtract from scores
  float exponent;  // 2^exponent shrinks what was summed so far
};

// The maximum of the raw scores goes from `max` to `new_max`, >= max; -inf while nothing was seen.
SEQUELA_HOST_DEVICE inline OnlineSoftmaxStep StepOnlineSoftmax(float max, float new_max, float c) {
  // Nothing seen yet: any finite number will do, all probabilities are 2^-inf.
  const float shift = new_max == -INFINITY ? 0.0F : new_max;
  return {shift, (max - shift) * c};
}

SEQUELA_HOST_DEVICE inline float ScoreExponent(float score, float shift, float c) {
  return (score - shift) * c;
}

// ln of the sum of e^(scale * score), from the sum of 2^(c * (score - max)).
SEQUELA_HOST_DEVICE inline float LogSumExp(float max, float sum, float scale) {
  return sum == 0.0F ? -INFINITY : max * scale + logf(sum);
}

// What the sums of probabilities times values are multiplied by at the end.
SEQUELA_HOST_DEVICE inline float InverseSum(float sum) { return sum == 0.0F ? 0.0F : 1.0F / sum; }

}  // namespace sequela
