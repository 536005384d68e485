// AdamW (kernels/adamw.h).
#pragma once

#include "kernels/cuda/row_kernels.h"

namespace sequela::cuda {

struct AdamwParams {
  RowWork work;
  Rows<float> master;
  Rows<float> m;
  Rows<float> v;
  Rows<const float> gradient;
  Rows<bf16> weights;  // null: none
  float gradient_scale;
  float keep;        // 1 - learning_rate * weight_decay
  float take_m;      // 1 - beta1
  float keep_v;      // beta2
  float take_v;      // 1 - beta2
  float root_scale;  // 1 / sqrt(bias_correction2)
  float epsilon;
  float step_size;  // learning_rate / bias_correction1
};
SEQUELA_KERNEL sequela_adamw(AdamwParams p);

}  // namespace sequela::cuda
