// AdamW (Loshchilov and Hutter 2019) over a flat range, in one pass, as torch.optim.AdamW:
//   p -= learning_rate * weight_decay * p
//   g  = gradient_scale * gradient
//   m += (1 - beta1) (g - m)
//   v  = beta2 v + (1 - beta2) g^2
//   p -= learning_rate / bias_correction1 * m / (sqrt(v) / sqrt(bias_correction2) + epsilon)
// Elementwise in fp32: the result of an element does not depend on the range it is updated in.
#pragma once

#include <span>

#include "kernels/base/bf16.h"
#include "kernels/exec.h"

namespace sequela {

// n elements; any alignment.
struct AdamwArgs {
  std::span<float> master;          // [n] p; read and written
  std::span<float> m;               // [n] read and written; 0 before the first step
  std::span<float> v;               // [n] likewise
  std::span<const float> gradient;  // [n] read
  std::span<bf16> weights{};  // [n] written with p rounded, or empty (in fp32 master is weights)
  double learning_rate;
  double beta1;
  double beta2;
  double epsilon;
  double weight_decay;      // 0 for norm gains and biases
  double gradient_scale;    // for example 1 / loss weight, times clipping
  double bias_correction1;  // 1 - beta1^step, step counted from 1
  double bias_correction2;  // 1 - beta2^step
};
void Adamw(const Exec& exec, const AdamwArgs& args);

}  // namespace sequela
