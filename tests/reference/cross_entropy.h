// The output projection and its softmax cross-entropy as the textbook has them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/reference/gemm.h"
#include "tests/reference/matrix.h"

namespace sequela::reference {

template <typename Real>
struct CrossEntropyResult {
  Matrix<Real> nll;  // [1, T]
  Matrix<Real> dhidden, dweight;
};

// -ln of the share of exp(logits) that the chosen entries have.
template <typename Real, typename Chosen>
Real NegativeLogShare(const std::vector<Real>& logits, const Chosen& chosen) {
  const Real max = *std::ranges::max_element(logits);
  Real all{0}, some{0};
  for (std::size_t v = 0; v < logits.size(); ++v) {
    const Real e = std::exp(logits[v] - max);
    all += e;
    if (chosen(static_cast<std::int64_t>(v))) some += e;
  }
  return std::log(all) - std::log(some);
}

template <typename Real>
std::vector<Real> LogitsOfRow(const Matrix<Real>& hidden, const Matrix<Real>& weight,
                              std::int64_t row) {
  std::vector<Real> logits(static_cast<std::size_t>(weight.rows), Real{0});
  for (std::int64_t v = 0; v < weight.rows; ++v) {
    for (std::int64_t d = 0; d < weight.columns; ++d) {
      logits[static_cast<std::size_t>(v)] += hidden(row, d) * weight(v, d);
    }
  }
  return logits;
}

// Negative targets are none. `round` is applied to the gradient of the logits, `round_logits` to
// themselves.
template <typename Real, typename Round, typename RoundLogits>
CrossEntropyResult<Real> CrossEntropy(const Matrix<Real>& hidden, const Matrix<Real>& weight,
                                      const std::vector<std::int32_t>& target,
                                      const std::vector<float>& loss_weight, const Round& round,
                                      const RoundLogits& round_logits) {
  CrossEntropyResult<Real> result{Matrix<Real>(1, hidden.rows),
                                  Matrix<Real>(hidden.rows, hidden.columns),
                                  Matrix<Real>(weight.rows, weight.columns)};
  for (std::int64_t t = 0; t < hidden.rows; ++t) {
    const std::int64_t y = target[static_cast<std::size_t>(t)];
    if (y < 0) continue;
    std::vector<Real> logits = LogitsOfRow(hidden, weight, t);
    for (Real& logit : logits) logit = round_logits(logit);
    const Real max = *std::ranges::max_element(logits);
    Real sum{0};
    for (const Real logit : logits) sum += std::exp(logit - max);
    result.nll(0, t) = std::log(sum) + max - logits[static_cast<std::size_t>(y)];
    for (std::int64_t v = 0; v < weight.rows; ++v) {
      const Real p = std::exp(logits[static_cast<std::size_t>(v)] - max) / sum;
      const Real dlogit = round(static_cast<Real>(loss_weight[static_cast<std::size_t>(t)]) *
                                (p - (v == y ? Real{1} : Real{0})));
      for (std::int64_t d = 0; d < weight.columns; ++d) {
        result.dhidden(t, d) += dlogit * weight(v, d);
        result.dweight(v, d) += dlogit * hidden(t, d);
      }
    }
  }
  return result;
}

}  // namespace sequela::reference
