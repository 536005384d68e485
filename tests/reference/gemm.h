// Matrix products as the textbook has them: one sum after another.
#pragma once

#include "tests/reference/matrix.h"

namespace sequela::reference {

template <typename Real>
Matrix<Real> Transposed(const Matrix<Real>& a) {
  Matrix<Real> t(a.columns, a.rows);
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t c = 0; c < a.columns; ++c) t(c, r) = a(r, c);
  }
  return t;
}

// c + a b.
template <typename Real>
Matrix<Real> AddProduct(Matrix<Real> c, const Matrix<Real>& a, const Matrix<Real>& b) {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t k = 0; k < a.columns; ++k) {
      const Real factor = a(r, k);
      for (std::int64_t n = 0; n < b.columns; ++n) c(r, n) += factor * b(k, n);
    }
  }
  return c;
}

template <typename Real>
Matrix<Real> Product(const Matrix<Real>& a, const Matrix<Real>& b) {
  return AddProduct(Matrix<Real>(a.rows, b.columns), a, b);
}

}  // namespace sequela::reference
