// The matrix of the textbook versions: owned, dense, row-major, of any arithmetic type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sequela::reference {

template <typename Real>
struct Matrix {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<Real> values;

  Matrix() = default;
  Matrix(std::int64_t rows_in, std::int64_t columns_in)
      : rows(rows_in),
        columns(columns_in),
        values(static_cast<std::size_t>(rows_in * columns_in), Real{0}) {}

  Real& operator()(std::int64_t r, std::int64_t c) {
    return values[static_cast<std::size_t>(r * columns + c)];
  }
  Real operator()(std::int64_t r, std::int64_t c) const {
    return values[static_cast<std::size_t>(r * columns + c)];
  }
  template <typename Other>
  Matrix<Other> As() const {
    Matrix<Other> other(rows, columns);
    for (std::size_t i = 0; i < values.size(); ++i) other.values[i] = static_cast<Other>(values[i]);
    return other;
  }
};

template <typename To, typename From>
std::vector<To> VectorAs(const std::vector<From>& from) {
  std::vector<To> to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = static_cast<To>(from[i]);
  return to;
}

}  // namespace sequela::reference
