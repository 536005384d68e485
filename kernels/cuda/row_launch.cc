#include "kernels/cuda/row_launch.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "kernels/base/int_math.h"

namespace sequela::cuda {
namespace {

constexpr std::int64_t kFlatColumns = 2048;
constexpr std::int64_t kWidestAccess = 16;  // bytes
constexpr std::int64_t kWarpThreads = 32;

bool IsAligned(const void* data, std::int64_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(bytes) == 0;
}

}  // namespace

bool SuitsPacks(const ConstTensorView& matrix, std::int64_t pack_size) {
  const std::int64_t element_bytes = SizeOf(matrix.dtype);
  const std::int64_t access = std::min(kWidestAccess, pack_size * element_bytes);
  return IsAligned(matrix.data, access) &&
         (matrix.rows <= 1 || matrix.stride * element_bytes % access == 0);
}

bool SuitsPacks(const float* data) { return IsAligned(data, kWidestAccess); }

std::uint32_t CeilLog2(std::int64_t count) {
  return static_cast<std::uint32_t>(std::bit_width(static_cast<std::uint64_t>(count) - 1));
}

RowWork WorkOnRows(std::int64_t rows, std::int64_t columns, std::int64_t pack_size, bool vectors,
                   std::int64_t batch) {
  if (columns == 0) return {};
  // Not more threads than packs: at a power of two none is idle, and elsewhere fewer than half.
  // A warp's access is kept whole before a thread gets a second pack.
  const std::int64_t packs = CeilDiv(columns, pack_size);
  const std::int64_t wanted = std::max(std::min(packs, kWarpThreads), packs / batch);
  const auto threads =
      std::min<std::uint64_t>(kRowThreads, std::bit_floor(static_cast<std::uint64_t>(wanted)));
  return {.rows = rows,
          .elements = rows * columns,
          .columns = static_cast<std::uint32_t>(narrow<std::int32_t>(columns)),
          .log2_threads = static_cast<std::uint32_t>(std::countr_zero(threads)),
          .vectors = vectors};
}

RowWork WorkOnElements(std::initializer_list<ConstTensorView> matrices, std::int64_t pack_size) {
  const ConstTensorView& first = *matrices.begin();
  const auto all_of = [&](auto&& test) { return std::ranges::all_of(matrices, test); };
  if (!all_of([](const ConstTensorView& matrix) { return matrix.contiguous(); })) {
    return WorkOnRows(first.rows, first.columns, pack_size,
                      all_of([&](const auto& matrix) { return SuitsPacks(matrix, pack_size); }));
  }
  const std::int64_t elements = first.rows * first.columns;
  RowWork work =
      WorkOnRows(CeilDiv(elements, kFlatColumns), kFlatColumns, pack_size,
                 all_of([&](const ConstTensorView& matrix) {
                   return SuitsPacks({matrix.data, matrix.dtype, 1, elements}, pack_size);
                 }));
  work.elements = elements;
  work.flat = true;
  return work;
}

LaunchShape ShapeOf(const RowWork& work) {
  return {.blocks = CeilDiv(work.rows, kRowThreads >> work.log2_threads), .threads = kRowThreads};
}

}  // namespace sequela::cuda
