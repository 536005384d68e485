// New weights: a function of (seed, parameter name) alone, whatever the rank, layout or precision.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/parameter_table.h"
#include "trainer/model/model_config.h"

namespace sequela {

// Fills the values of one parameter: matrices from normal(0, initializer_range), those of o_proj
// and down_proj, which add to the residual stream, divided by sqrt(2 num_hidden_layers) (Radford et
// al. 2019, "Language models are unsupervised multitask learners", 2.3); norm gains 1; biases 0.
void InitializeParameter(const ModelConfig& config, const ParameterPiece& piece, std::uint64_t seed,
                         std::span<float> values);

}  // namespace sequela
