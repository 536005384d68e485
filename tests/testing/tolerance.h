// Tolerances by rule, not by taste: the error of an operation against the fp64 truth may be at most
// twice that of an honest plain implementation with the same rounding points, and 1.2 times on
// average (which catches a bias that hides below the maximum).
//
// On a GPU products are cuBLASLt's, whose order of sums is its own, and tensor cores truncate where
// they align what they add: its errors and honest's are then two samples, and the means of a few
// values differ by chance. Of errors a_i and h_i, independent and normal with the same spread s_i,
// |a_i| and |h_i| each have the variance (1 - 2/pi) s_i^2, so that the difference of their means
// over N values has the standard error sqrt(2 (1 - 2/pi) sum s_i^2) / N, and h_i^2 is what is known
// of s_i^2. Three standard errors are allowed beside the 1.2: where all s_i are alike 3.2 / sqrt(N)
// of the mean, so that 10 values may be off by its double and a million by 1.203 times. Values
// without an error, of rows without a target say, add nothing. Elsewhere sums are in our own order,
// the same at every run, and nothing is allowed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "kernels/base/bf16.h"
#include "kernels/base/dtype.h"
#include "tests/reference/matrix.h"
#include "tests/testing/test_backend.h"

namespace sequela::testing {

struct Errors {
  double max = 0.0;
  double mean = 0.0;
  // Of the difference to the mean of another sample of such errors.
  double standard_error = 0.0;
};

// A value that should be finite and is not has an infinite error.
inline Errors ErrorsOf(const reference::Matrix<double>& actual,
                       const reference::Matrix<double>& exact) {
  Errors errors;
  double squares = 0.0;
  for (std::size_t i = 0; i < exact.values.size(); ++i) {
    const double difference = std::abs(actual.values[i] - exact.values[i]);
    const double error = std::isnan(difference) ? HUGE_VAL : difference;
    errors.max = std::max(errors.max, error);
    errors.mean += error;
    squares += error * error;
  }
  const double count = std::max<double>(1.0, static_cast<double>(exact.values.size()));
  errors.mean /= count;
  errors.standard_error = std::sqrt(2.0 * (1.0 - 2.0 / std::numbers::pi) * squares) / count;
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

// Whether the errors under test and honest's are two samples (above).
enum class Sums { kInOurOrder, kInAnotherOrder };
inline Sums SumsUnderTest() {
  return ChosenBackend() == TestBackend::kGpu ? Sums::kInAnotherOrder : Sums::kInOurOrder;
}

// `honest` is the plain fp32 implementation's result as stored. Where it happens to be exact, half
// a unit in the last place of fp32 (on average an eighth) is allowed.
inline ::testing::AssertionResult WithinTheRule(const reference::Matrix<double>& actual,
                                                const reference::Matrix<double>& honest,
                                                const reference::Matrix<double>& exact,
                                                Sums sums = SumsUnderTest()) {
  const Errors ours = ErrorsOf(actual, exact);
  const Errors theirs = ErrorsOf(honest, exact);
  const Errors size = ErrorsOf(exact, reference::Matrix<double>(exact.rows, exact.columns));
  const double chance = sums == Sums::kInAnotherOrder ? 3.0 * theirs.standard_error : 0.0;
  const double max_limit = 2.0 * theirs.max + 0x1p-24 * size.max;
  const double mean_limit = 1.2 * theirs.mean + chance + 0x1p-26 * size.mean;
  if (ours.max <= max_limit && ours.mean <= mean_limit) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "max error " << ours.max << " (limit " << max_limit << "), mean error " << ours.mean
         << " (limit " << mean_limit << ", " << chance << " of it chance), largest value "
         << size.max;
}

}  // namespace sequela::testing
