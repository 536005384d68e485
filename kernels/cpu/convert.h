// Rows of numbers from one type to another, vectorised; the small change of the matrix kernels.
#pragma once

#include <cstdint>

#include "kernels/base/bf16.h"

namespace sequela::cpu {

void WidenRow(const bf16* from, float* to, std::int64_t count);
void RoundRow(const float* from, bf16* to, std::int64_t count);
// to[i] += from[i].
void AddRow(const float* from, float* to, std::int64_t count);

}  // namespace sequela::cpu
