// Finite differences: the truth about a gradient that needs no calculus.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace sequela::testing {

// Whether `gradient` is the derivative of loss (a function of vector<double>, in fp64) at x:
// central differences, each within `tolerance` of the largest derivative.
template <typename Loss>
::testing::AssertionResult IsGradientOf(const Loss& loss, std::vector<double> x,
                                        const std::vector<double>& gradient,
                                        double tolerance = 1e-6, double step = 1e-5) {
  double largest = 1e-3;
  for (const double g : gradient) largest = std::max(largest, std::abs(g));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double saved = x[i];
    x[i] = saved + step;
    const double above = loss(x);
    x[i] = saved - step;
    const double below = loss(x);
    x[i] = saved;
    const double numeric = (above - below) / (2.0 * step);
    if (!(std::abs(numeric - gradient[i]) <= tolerance * largest)) {
      return ::testing::AssertionFailure() << "element " << i << ": gradient " << gradient[i]
                                           << ", finite difference " << numeric;
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace sequela::testing
