// The host's half of row_kernels.h: how many threads go through a row, and whether wide accesses
// are possible.
#pragma once

#include <initializer_list>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/row_kernels.h"

namespace sequela::cuda {

// Packs of this many elements may be moved whole in every row of the matrix, or from `data` on.
bool SuitsPacks(const ConstTensorView& matrix, std::int64_t pack_size);
bool SuitsPacks(const float* data);

// Rows that stay rows. Long ones have `batch` packs a thread, as many as the kernel loads at once.
RowWork WorkOnRows(std::int64_t rows, std::int64_t columns, std::int64_t pack_size, bool vectors,
                   std::int64_t batch = 1);

// Matrices of one shape, element by element: where all lie without gaps they are one long row that
// is cut into pieces of a good size, so that neither narrow nor odd rows are slow.
RowWork WorkOnElements(std::initializer_list<ConstTensorView> matrices, std::int64_t pack_size);

LaunchShape ShapeOf(const RowWork& work);

// A matrix as the kernels of `work` see it.
template <typename T>
Rows<T> RowsIn(const RowWork& work, const TensorView& view) {
  return {view.As<T>(), work.flat ? std::int64_t{work.columns} : view.stride};
}
template <typename T>
Rows<const T> RowsIn(const RowWork& work, const ConstTensorView& view) {
  return {view.As<T>(), work.flat ? std::int64_t{work.columns} : view.stride};
}

// log2 of the smallest power of two that is not below `count`, which is at least 1.
std::uint32_t CeilLog2(std::int64_t count);

}  // namespace sequela::cuda
