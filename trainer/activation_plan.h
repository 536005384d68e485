// The memory of one forward and backward pass, planned before the first step: where every
// activation lies in one arena, known from the model and the largest batch alone. A step allocates
// nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/dtype.h"
#include "trainer/model_config.h"

namespace sequela {

// What the backward pass computes again instead of keeping. Never changes a bit of the result.
enum class Recompute : std::uint8_t {
  kNone,       // every activation that backward reads is kept
  kSelective,  // the cheap wide ones are computed again: norms' outputs and SwiGLU's output
  kFull,       // only the residual stream at each block's entry is kept
};
std::string_view NameOf(Recompute level);         // "none", "selective", "full"
Recompute ParseRecompute(std::string_view name);  // throws InputError listing the three names

struct DecoderOptions {
  DType compute_dtype = DType::kFloat32;  // kFloat32 or kBFloat16: weights and activations
  Recompute recompute = Recompute::kNone;
  int num_threads = 1;
  std::int64_t max_tokens = 4096;  // of one batch
};

}  // namespace sequela
