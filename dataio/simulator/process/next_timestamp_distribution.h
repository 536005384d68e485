// When the next timestamp comes: the closed form of the observed gap's distribution.
#pragma once

#include <cstdint>
#include <span>

#include "dataio/simulator/simulator_process.h"

namespace sequela {

// For cuts c_0 < c_1 < ... < c_K in microseconds after state.now_us (c_0 = 0, c_K = kNoCut: open):
// mass[k] = P(the next anchor is recorded at a gap g with c_k < g <= c_{k+1}, before censoring),
// [K]. Returns their sum: the probability that there is a next timestamp at all.
inline constexpr double kNoCut = std::numeric_limits<double>::infinity();
double NextTimestampMasses(const LifeProcess& process, const LifeState& state,
                           std::span<const double> cuts, std::span<double> mass);

}  // namespace sequela
