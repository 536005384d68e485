// Intervals for ratios of sums over subjects: subjects are drawn with replacement (Efron 1979),
// since a subject's tokens are not independent of one another.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sequela {

struct Interval {
  double low = 0.0;
  double high = 0.0;
};

// What one subject adds to a ratio's numerator and denominator, for all subjects.
struct RatioSums {
  std::vector<double> numerator;    // [subjects]
  std::vector<double> denominator;  // [subjects]
};

// The central 95 % of each ratio over resampled subjects (the same resamples for all ratios). NaN
// at both ends where there are fewer than two subjects. A function of the arguments alone: 1,000
// resamples, fewer from 20,000 subjects on, at least 200.
std::vector<Interval> BootstrapIntervals(std::span<const RatioSums> ratios, std::uint64_t seed);

}  // namespace sequela
