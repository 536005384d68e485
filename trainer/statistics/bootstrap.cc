#include "trainer/statistics/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/check.h"
#include "kernels/base/philox.h"

namespace sequela {
namespace {

constexpr double kOutside = 0.025;  // of the resamples, at each end

// The q-quantile by linear interpolation between the order statistics.
double Quantile(const std::vector<double>& sorted, double q) {
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(place));
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - std::floor(place)) * (sorted[above] - sorted[below]);
}

double ResampledRatio(const RatioSums& ratio, const std::vector<std::size_t>& draw) {
  double numerator = 0.0;
  double denominator = 0.0;
  for (const std::size_t subject : draw) {
    numerator += ratio.numerator[subject];
    denominator += ratio.denominator[subject];
  }
  return numerator / denominator;
}

}  // namespace

std::vector<Interval> BootstrapIntervals(std::span<const RatioSums> ratios, std::uint64_t seed) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::vector<Interval> intervals(ratios.size(), {kNone, kNone});
  const std::size_t subjects = ratios.empty() ? 0 : ratios[0].numerator.size();
  if (subjects < 2) return intervals;
  const std::size_t resamples = std::clamp<std::size_t>(20'000'000 / subjects, 200, 1000);
  std::vector<std::vector<double>> values(ratios.size());
  std::vector<std::size_t> draw(subjects);
  for (std::size_t r = 0; r < resamples; ++r) {
    PhiloxStream random(seed, HashName("bootstrap"), r);
    for (std::size_t& subject : draw) {
      const double uniform = random.NextUniform();
      subject = static_cast<std::size_t>(uniform * static_cast<double>(subjects));
    }
    for (std::size_t i = 0; i < ratios.size(); ++i) {
      SEQUELA_CHECK(ratios[i].numerator.size() == subjects);
      const double value = ResampledRatio(ratios[i], draw);
      if (std::isfinite(value)) values[i].push_back(value);
    }
  }
  for (std::size_t i = 0; i < ratios.size(); ++i) {
    if (values[i].empty()) continue;
    std::ranges::sort(values[i]);
    intervals[i] = {Quantile(values[i], kOutside), Quantile(values[i], 1.0 - kOutside)};
  }
  return intervals;
}

}  // namespace sequela
