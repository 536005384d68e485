// What a block of rows sees of a block of keys, decided once for all its elements. Neither bound of
// a row's interval [kv_begin, kv_end) falls from one row to the next, so that the first and the
// last row tell about all between them, rows that see nothing included.
#pragma once

#include "kernels/base/host_device.h"

namespace sequela {

enum class Visible { kNothing, kAll, kSome };

struct KvInterval {
  int begin = 0;
  int end = 0;
  SEQUELA_HOST_DEVICE bool Has(int key) const { return begin <= key && key < end; }
};

// Rows from `first` to `last`, the keys [key, key + keys).
SEQUELA_HOST_DEVICE inline Visible VisibleOf(const KvInterval& first, const KvInterval& last,
                                             int key, int keys) {
  if (key >= last.end || key + keys <= first.begin) return Visible::kNothing;
  // A row that sees nothing has last.begin >= its bound >= first.end: never all.
  if (key >= last.begin && key + keys <= first.end) return Visible::kAll;
  return Visible::kSome;
}

}  // namespace sequela
