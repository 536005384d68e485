// How the rows of a matrix are shared among threads: read by the kernels that go through rows
// (rows.cuh) and by the host (row_launch.h), which decides.
#pragma once

#include "kernels/cuda/kernel.h"

namespace sequela::cuda {

inline constexpr int kRowThreads = 256;  // of a block

// Elements that a thread moves at once (packs.cuh) in matrices of these types: 16 bytes of the
// widest.
template <typename... T>
constexpr int PackSize() {
  unsigned long widest = 1;
  ((widest = sizeof(T) > widest ? sizeof(T) : widest), ...);
  return static_cast<int>(16 / widest);
}

struct RowWork {
  std::int64_t rows = 0;
  std::int64_t elements = 0;       // rows * columns, or less: the last row may be short
  std::uint32_t columns = 0;       // of a row
  std::uint32_t log2_threads = 0;  // threads of a row; a block takes kRowThreads / these rows
  bool vectors = false;            // every pack but a row's last suits wide accesses
  bool flat = false;               // matrices without gaps, cut anew (ElementWork)
};

}  // namespace sequela::cuda
