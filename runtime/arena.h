// Memory for a step's activations, planned before the first step. The same code runs twice: once on
// a measuring arena, which hands out null memory and remembers the peak, and then on an arena of
// exactly that size. Allocation is a bump of a pointer; freeing goes back to a mark (a stack).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "runtime/buffer.h"

namespace sequela {

// Every allocation is aligned to 64 bytes; contents are whatever was there before. One thread at a
// time.
class Arena {
 public:
  // An arena that only measures: every Allocate gives a null span of the wanted size.
  static Arena Measuring() { return Arena(); }
  // On a GPU the host must not touch what it hands out. `device` is borrowed.
  explicit Arena(std::int64_t capacity_bytes, Device& device = HostDevice())
      : memory_(capacity_bytes, device), measuring_(false) {}

  // A broken plan (more than the capacity) ends in SEQUELA_CHECK.
  std::byte* AllocateBytes(std::int64_t size_bytes);
  template <typename T>
  T* Allocate(std::int64_t count) {
    return reinterpret_cast<T*>(AllocateBytes(count * static_cast<std::int64_t>(sizeof(T))));
  }
  TensorView AllocateTensor(DType dtype, std::int64_t rows, std::int64_t columns) {
    return {AllocateBytes(rows * columns * SizeOf(dtype)), dtype, rows, columns};
  }

  // Everything allocated after Mark() is given back by Release(mark).
  std::int64_t Mark() const { return used_bytes_; }
  void Release(std::int64_t mark);

  bool measuring() const { return measuring_; }
  std::int64_t used_bytes() const { return used_bytes_; }
  std::int64_t peak_bytes() const { return peak_bytes_; }
  std::int64_t capacity_bytes() const { return memory_.size_bytes(); }

 private:
  Arena() = default;

  Buffer memory_;
  bool measuring_ = true;
  std::int64_t used_bytes_ = 0;
  std::int64_t peak_bytes_ = 0;
};

// Gives back what was allocated while it lived.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.Mark()) {}
  ~ArenaScope() { arena_.Release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  std::int64_t mark_;
};

}  // namespace sequela
