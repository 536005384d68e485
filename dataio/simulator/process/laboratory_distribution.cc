// What a laboratory measures, given the state.
#include <algorithm>
#include <cmath>
#include <limits>

#include "dataio/simulator/simulator_process.h"

namespace sequela {
namespace {

// P(Z <= x) of a standard normal, accurate in both tails.
double NormalCumulative(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

}  // namespace

double LaboratoryDistribution::CumulativeProbability(float edge) const {
  if (std::isinf(edge)) {
    return edge > 0 ? 1.0 : 0.0;
  }
  // Values up to the middle between this float and the next are recorded as at most `edge`.
  const float next = std::nextafter(edge, std::numeric_limits<float>::infinity());
  double x = 0.5 * (static_cast<double>(edge) + static_cast<double>(next));
  if (logarithmic) {
    if (x <= 0) {
      return 0;
    }
    x = std::log(x);
  }
  const double below = NormalCumulative((lower - mean) / deviation);
  const double mass = NormalCumulative((upper - mean) / deviation) - below;
  const double here = NormalCumulative((std::clamp(x, lower, upper) - mean) / deviation);
  return (here - below) / mass;
}

float LaboratoryDistribution::Draw(PhiloxStream* random) const {
  double x = 0;
  do {
    x = mean + deviation * random->NextNormal();
  } while (x < lower || x > upper);
  return static_cast<float>(logarithmic ? std::exp(x) : x);
}

}  // namespace sequela
