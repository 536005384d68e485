// SwiGLU as the textbook has it.
#pragma once

#include <cmath>
#include <cstdint>

#include "tests/reference/matrix.h"

namespace sequela::reference {

template <typename Real>
Real Sigmoid(Real x) {
  return Real{1} / (Real{1} + std::exp(-x));
}

template <typename Real>
Matrix<Real> Swiglu(const Matrix<Real>& gate_up) {
  const std::int64_t columns = gate_up.columns / 2;
  Matrix<Real> out(gate_up.rows, columns);
  for (std::int64_t r = 0; r < out.rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const Real gate = gate_up(r, c);
      out(r, c) = gate * Sigmoid(gate) * gate_up(r, columns + c);
    }
  }
  return out;
}

template <typename Real>
Matrix<Real> SwigluBackward(const Matrix<Real>& gate_up, const Matrix<Real>& d_out) {
  const std::int64_t columns = d_out.columns;
  Matrix<Real> d_gate_up(gate_up.rows, gate_up.columns);
  for (std::int64_t r = 0; r < d_out.rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const Real gate = gate_up(r, c);
      const Real sigmoid = Sigmoid(gate);
      const Real slope = sigmoid * (Real{1} + gate * (Real{1} - sigmoid));
      d_gate_up(r, c) = d_out(r, c) * gate_up(r, columns + c) * slope;
      d_gate_up(r, columns + c) = d_out(r, c) * gate * sigmoid;
    }
  }
  return d_gate_up;
}

}  // namespace sequela::reference
