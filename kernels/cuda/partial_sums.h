#pragma once

#include <cstdint>
#include <span>

#include "kernels/exec.h"

namespace sequela::cuda {

// to[c] += partials[0][c] + partials[1][c] + ..., in a fixed order. partials is [count, columns].
void AddPartialSums(const Exec& exec, const float* partials, std::int64_t count,
                    std::span<float> to);

}  // namespace sequela::cuda
