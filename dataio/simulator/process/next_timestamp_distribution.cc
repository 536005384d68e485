#include "dataio/simulator/process/next_timestamp_distribution.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace sequela {

double NextTimestampMasses(const LifeProcess& process, const LifeState& state,
                           std::span<const double> cuts, std::span<double> mass) {
  constexpr double kNegligibleSurvival = 1e-30;
  std::vector<double> rates(static_cast<std::size_t>(process.num_anchors()));
  std::fill(mass.begin(), mass.end(), 0.0);
  double survival = 1;  // P(neither an anchor nor censoring up to `from`)
  double from = 0;      // microseconds after now
  std::size_t bin = 0;
  for (std::int64_t cell = state.now_us + 1; survival > kNegligibleSurvival;) {
    const std::int64_t last = process.LastCellLike(state, cell);
    const double events = process.AnchorRates(state, cell, rates);
    const double total = events + process.CensoringRate(state, cell);
    const auto end = static_cast<double>(last - state.now_us);
    while (from < end && survival > kNegligibleSurvival) {
      const double to = std::min(end, cuts[bin + 1]);
      const double ending = -std::expm1(-total * (to - from));
      if (total > 0) {
        mass[bin] += survival * ending * events / total;
      }
      survival *= 1 - ending;
      from = to;
      bin += cuts[bin + 1] <= to ? 1 : 0;
    }
    cell = last + 1;
  }
  double sum = 0;
  for (const double part : mass) {
    sum += part;
  }
  return sum;
}

}  // namespace sequela
