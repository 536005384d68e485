// Tolerances by rule, not by taste: the error of an operation against the fp64 truth may be at most
// twice that of an honest plain implementation with the same rounding points, and 1.2 times on
// average (which catches a bias that hides below the maximum).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "kernels/base/bf16.h"
#include "kernels/base/dtype.h"
#include "tests/reference/matrix.h"

namespace sequela::testing {

struct Errors {
  double max = 0.0;
  double mean = 0.0;
};

// A value that should be finite and is not has an infinite error.
inline Errors ErrorsOf(const reference::Matrix<double>& actual,
                       const reference::Matrix<double>& exact) {
  Errors errors;
  for (std::size_t i = 0; i < exact.values.size(); ++i) {
    const double difference = std::abs(actual.values[i] - exact.values[i]);
    const double error = std::isnan(difference) ? HUGE_VAL : difference;
    errors.max = std::max(errors.max, error);
    errors.mean += error;
  }
  errors.mean /= std::max<double>(1.0, static_cast<double>(exact.values.size()));
  return errors;
}

// What storing these values as `dtype` leaves of them.
inline reference::Matrix<double> Rounded(const reference::Matrix<float>& values, DType dtype) {
  reference::Matrix<double> rounded = values.As<double>();
  if (dtype == DType::kBFloat16) {
    for (double& value : rounded.values) value = ToFloat(ToBf16(static_cast<float>(value)));
  }
  return rounded;
}

// `honest` is the plain fp32 implementation's result as stored. Where it happens to be exact, half
// a unit in the last place of fp32 (on average an eighth) is allowed.
inline ::testing::AssertionResult WithinTheRule(const reference::Matrix<double>& actual,
                                                const reference::Matrix<double>& honest,
                                                const reference::Matrix<double>& exact) {
  const Errors ours = ErrorsOf(actual, exact);
  const Errors theirs = ErrorsOf(honest, exact);
  const Errors size = ErrorsOf(exact, reference::Matrix<double>(exact.rows, exact.columns));
  const double max_limit = 2.0 * theirs.max + 0x1p-24 * size.max;
  const double mean_limit = 1.2 * theirs.mean + 0x1p-26 * size.mean;
  if (ours.max <= max_limit && ours.mean <= mean_limit) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "max error " << ours.max << " (limit " << max_limit << "), mean error " << ours.mean
         << " (limit " << mean_limit << "), largest value " << size.max;
}

}  // namespace sequela::testing
