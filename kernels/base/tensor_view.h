// A borrowed matrix [rows, columns] in row-major order whose rows lie `stride` elements apart.
// Higher ranks are written into the columns (q_TNH is [T, N * H]); the operation's arguments say
// how to read them. Views own nothing and are cheap to copy; whoever passes one keeps the memory
// alive.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/base/bf16.h"
#include "kernels/base/check.h"
#include "kernels/base/dtype.h"

namespace sequela {

template <typename T>
constexpr DType DTypeOf() {
  using U = std::remove_const_t<T>;
  if constexpr (std::is_same_v<U, float>) return DType::kFloat32;
  if constexpr (std::is_same_v<U, bf16>) return DType::kBFloat16;
  if constexpr (std::is_same_v<U, std::int32_t>) return DType::kInt32;
  if constexpr (std::is_same_v<U, std::int64_t>) return DType::kInt64;
}

template <bool kConst>
struct BasicTensorView {
  using Pointer = std::conditional_t<kConst, const void*, void*>;
  using Byte = std::conditional_t<kConst, const char, char>;

  Pointer data = nullptr;
  DType dtype = DType::kFloat32;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t stride = 0;  // elements from one row to the next; >= columns

  BasicTensorView() = default;
  BasicTensorView(Pointer data_in, DType dtype_in, std::int64_t rows_in, std::int64_t columns_in,
                  std::int64_t stride_in = -1)
      : data(data_in),
        dtype(dtype_in),
        rows(rows_in),
        columns(columns_in),
        stride(stride_in < 0 ? columns_in : stride_in) {}
  template <typename T>
  BasicTensorView(T* data_in, std::int64_t rows_in, std::int64_t columns_in,
                  std::int64_t stride_in = -1) requires(!std::is_void_v<std::remove_const_t<T>>)
      : BasicTensorView(data_in, DTypeOf<T>(), rows_in, columns_in, stride_in) {}
  // A writable view may be read.
  template <bool kOther>
  BasicTensorView(const BasicTensorView<kOther>& other) requires(kConst && !kOther)
      : BasicTensorView(other.data, other.dtype, other.rows, other.columns, other.stride) {}

  // The first element as T. REQUIRES: T is the view's type.
  template <typename T>
  auto As() const {
    SEQUELA_CHECK(DTypeOf<T>() == dtype);
    if constexpr (kConst) {
      return static_cast<const T*>(data);
    } else {
      return static_cast<T*>(data);
    }
  }
  BasicTensorView RowRange(std::int64_t begin, std::int64_t count) const {
    SEQUELA_CHECK(begin >= 0 && count >= 0 && begin + count <= rows);
    return {Offset(begin * stride), dtype, count, columns, stride};
  }
  BasicTensorView ColumnRange(std::int64_t begin, std::int64_t count) const {
    SEQUELA_CHECK(begin >= 0 && count >= 0 && begin + count <= columns);
    return {Offset(begin), dtype, rows, count, stride};
  }
  bool empty() const { return rows == 0 || columns == 0; }
  bool contiguous() const { return stride == columns || rows <= 1; }

 private:
  Pointer Offset(std::int64_t elements) const {
    return data == nullptr ? nullptr : static_cast<Byte*>(data) + elements * SizeOf(dtype);
  }
};

using TensorView = BasicTensorView<false>;
using ConstTensorView = BasicTensorView<true>;

}  // namespace sequela
