// Memory for tests of operations: matrices inside a sea of NaN, workspaces full of NaN. What reads
// outside its arguments gets a NaN into its result; what writes there is found by PoisonIntact().
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "kernels/base/bf16.h"
#include "kernels/base/philox.h"
#include "kernels/base/tensor_view.h"
#include "tests/reference/matrix.h"
#include "tests/testing/test_backend.h"

namespace sequela::testing {

inline constexpr int kPoisonByte = 0xff;  // four of them are a NaN in fp32, two in bf16

// Bytes at a 256-byte boundary, all poison, where the backend under test can reach them.
class PoisonedWorkspace {
 public:
  explicit PoisonedWorkspace(std::int64_t bytes)
      : size_(static_cast<std::size_t>(bytes)), memory_(AllocateShared(size_), FreeShared) {
    std::memset(memory_.get(), kPoisonByte, size_);
  }
  std::span<std::byte> span() { return {static_cast<std::byte*>(memory_.get()), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<void, void (*)(void*)> memory_;
};

// How a matrix lies in its memory: `offset` elements past a 64-byte boundary, `gap` elements
// between the end of a row and the next.
struct Layout {
  std::int64_t gap = 0;
  std::int64_t offset = 0;
};

// A matrix whose surroundings and, before it is written, contents are poison.
class PoisonedMatrix {
 public:
  PoisonedMatrix(DType dtype, std::int64_t rows, std::int64_t columns, Layout layout = {})
      : dtype_(dtype),
        rows_(rows),
        columns_(columns),
        stride_(columns + layout.gap),
        begin_(kMargin + layout.offset),
        memory_((begin_ + rows * stride_ + kMargin) * SizeOf(dtype)) {}

  // With these values, rounded to `dtype`.
  PoisonedMatrix(DType dtype, const reference::Matrix<double>& values, Layout layout = {})
      : PoisonedMatrix(dtype, values.rows, values.columns, layout) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t c = 0; c < columns_; ++c) Set(r, c, static_cast<float>(values(r, c)));
    }
  }

  TensorView view() {
    return {memory_.span().data() + begin_ * SizeOf(dtype_), dtype_, rows_, columns_, stride_};
  }
  // The elements, exactly.
  reference::Matrix<double> values() {
    reference::Matrix<double> values(rows_, columns_);
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t c = 0; c < columns_; ++c) values(r, c) = Get(r, c);
    }
    return values;
  }
  std::span<float> floats() {  // of a contiguous fp32 matrix
    return {view().As<float>(), static_cast<std::size_t>(rows_ * columns_)};
  }
  // Everything, surroundings included, for bitwise comparison.
  std::vector<std::byte> bytes() {
    const auto span = memory_.span();
    return {span.begin(), span.end()};
  }
  // Nothing outside the rows and columns was written.
  bool PoisonIntact() {
    const std::int64_t total = std::ssize(memory_.span()) / SizeOf(dtype_);
    for (std::int64_t i = 0; i < total; ++i) {
      const std::int64_t inside = i - begin_;
      const bool element = inside >= 0 && inside < rows_ * stride_ && inside % stride_ < columns_;
      if (!element && !IsPoison(i)) return false;
    }
    return true;
  }

 private:
  static constexpr std::int64_t kMargin = 64;  // elements; keeps the start aligned

  bool IsPoison(std::int64_t element) {
    for (std::int64_t b = 0; b < SizeOf(dtype_); ++b) {
      const auto at = static_cast<std::size_t>(element * SizeOf(dtype_) + b);
      if (memory_.span()[at] != std::byte{kPoisonByte}) return false;
    }
    return true;
  }
  void Set(std::int64_t r, std::int64_t c, float value) {
    if (dtype_ == DType::kBFloat16) {
      view().As<bf16>()[r * stride_ + c] = ToBf16(value);
    } else {
      view().As<float>()[r * stride_ + c] = value;
    }
  }
  float Get(std::int64_t r, std::int64_t c) {
    return dtype_ == DType::kBFloat16 ? ToFloat(view().As<bf16>()[r * stride_ + c])
                                      : view().As<float>()[r * stride_ + c];
  }

  DType dtype_;
  std::int64_t rows_;
  std::int64_t columns_;
  std::int64_t stride_;
  std::int64_t begin_;
  PoisonedWorkspace memory_;
};

// Normal values, every 37th of them 20 times larger: activations of a real model have outliers.
inline reference::Matrix<double> RandomMatrix(std::int64_t rows, std::int64_t columns,
                                              std::uint64_t seed, double scale = 1.0) {
  reference::Matrix<double> matrix(rows, columns);
  PhiloxStream stream(seed, HashName("test matrix"), 0);
  for (std::size_t i = 0; i < matrix.values.size(); ++i) {
    matrix.values[i] = scale * stream.NextNormal() * (i % 37 == 36 ? 20.0 : 1.0);
  }
  return matrix;
}

}  // namespace sequela::testing
