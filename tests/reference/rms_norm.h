// RMSNorm as the textbook has it: fp64 for the truth, float for an honest plain implementation.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/reference/matrix.h"

namespace sequela::reference {

template <typename Real>
Real RmsNormRstd(const Matrix<Real>& x, std::int64_t r, std::int64_t begin, std::int64_t size,
                 Real epsilon) {
  Real sum = 0;
  for (std::int64_t c = begin; c < begin + size; ++c) sum += x(r, c) * x(r, c);
  return Real{1} / std::sqrt(sum / static_cast<Real>(size) + epsilon);
}

// Groups of gain.size() columns are normalised each by itself.
template <typename Real>
Matrix<Real> RmsNorm(const Matrix<Real>& x, const std::vector<Real>& gain, Real epsilon) {
  const auto size = static_cast<std::int64_t>(gain.size());
  Matrix<Real> y(x.rows, x.columns);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    for (std::int64_t begin = 0; begin < x.columns; begin += size) {
      const Real rstd = RmsNormRstd(x, r, begin, size, epsilon);
      for (std::int64_t c = 0; c < size; ++c) {
        y(r, begin + c) = x(r, begin + c) * rstd * gain[static_cast<std::size_t>(c)];
      }
    }
  }
  return y;
}

template <typename Real>
struct RmsNormGradient {
  Matrix<Real> d_x;
  std::vector<Real> d_gain;
};

template <typename Real>
RmsNormGradient<Real> RmsNormBackward(const Matrix<Real>& d_y, const Matrix<Real>& x,
                                      const std::vector<Real>& gain, Real epsilon) {
  const auto size = static_cast<std::int64_t>(gain.size());
  RmsNormGradient<Real> gradient{Matrix<Real>(x.rows, x.columns), std::vector<Real>(gain.size())};
  for (std::int64_t r = 0; r < x.rows; ++r) {
    for (std::int64_t begin = 0; begin < x.columns; begin += size) {
      const Real rstd = RmsNormRstd(x, r, begin, size, epsilon);
      Real dot = 0;
      for (std::int64_t c = 0; c < size; ++c) {
        const auto i = static_cast<std::size_t>(c);
        dot += d_y(r, begin + c) * gain[i] * x(r, begin + c) * rstd;
        gradient.d_gain[i] += d_y(r, begin + c) * x(r, begin + c) * rstd;
      }
      const Real mean = dot / static_cast<Real>(size);
      for (std::int64_t c = 0; c < size; ++c) {
        const Real a = d_y(r, begin + c) * gain[static_cast<std::size_t>(c)];
        gradient.d_x(r, begin + c) = rstd * (a - x(r, begin + c) * rstd * mean);
      }
    }
  }
  return gradient;
}

}  // namespace sequela::reference
