// The classic loops of a packed product (Goto and van de Geijn, "Anatomy of high-performance matrix
// multiplication", 2008): C in pieces for threads; in a piece K in parts; per part B as panels of
// two vectors' columns, A in blocks of rows; innermost a group of rows times a panel out of
// registers. A panel lies in L1, a block of A in L2. Threads share nothing: packing costs a few
// per cent of a piece's arithmetic and spares barriers.
#include "kernels/cpu/gemm_packed.h"

#include <algorithm>
#include <vector>

#include "kernels/base/int_math.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/parallel_for.h"
#include "kernels/cpu/workspace_carver.h"

#ifndef SEQUELA_KERNELS_CPU_GEMM_PACKED_ONCE_
#define SEQUELA_KERNELS_CPU_GEMM_PACKED_ONCE_
namespace sequela::cpu {

// A panel of 16 columns takes 16 KiB, half of L1, a block of A 240 KiB, a piece of B 512 KiB.
constexpr std::int64_t kMaxDepth = 256;
constexpr std::int64_t kBlockRows = 240;
constexpr std::int64_t kMaxPieceRows = 4 * kBlockRows;
constexpr std::int64_t kMaxPieceColumns = 512;
// Sizes of pieces are multiples of every target's groups and panels.
constexpr std::int64_t kRowStep = 12;
constexpr std::int64_t kColumnStep = 32;
// Rows of K packed at a time where they lie far apart.
constexpr std::int64_t kRowsAtOnce = 8;

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

// What one thread works in.
struct PackBuffers {
  float* a_block;
  float* b_panels;
  float* sums;  // a piece of C before it is rounded to bf16
};

}  // namespace sequela::cpu
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm_packed.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "kernels/cpu/micro_product-inl.h"
#include "kernels/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu::HWY_NAMESPACE {
namespace {

// to[k * width + j] = from[j * stride + k] for four j and four k.
template <typename T>
HWY_INLINE void Transpose4x4(const T* from, std::int64_t stride, float* to, std::int64_t width) {
#if HWY_TARGET == HWY_SCALAR  // has no vectors of four
  for (int i = 0; i < 16; ++i) to[i % 4 * width + i / 4] = LoadOne(from + i / 4 * stride + i % 4);
#else
  const hn::CappedTag<float, 4> d;
  const auto r0 = LoadFloats(d, from), r1 = LoadFloats(d, from + stride);
  const auto r2 = LoadFloats(d, from + 2 * stride), r3 = LoadFloats(d, from + 3 * stride);
  const auto low01 = hn::InterleaveLower(d, r0, r1), low23 = hn::InterleaveLower(d, r2, r3);
  const auto high01 = hn::InterleaveUpper(d, r0, r1), high23 = hn::InterleaveUpper(d, r2, r3);
  hn::StoreU(hn::ConcatLowerLower(d, low23, low01), d, to);
  hn::StoreU(hn::ConcatUpperUpper(d, low23, low01), d, to + width);
  hn::StoreU(hn::ConcatLowerLower(d, high23, high01), d, to + 2 * width);
  hn::StoreU(hn::ConcatUpperUpper(d, high23, high01), d, to + 3 * width);
#endif
}

// Columns n of B over k, stored [N, K], as panels [k][PanelKeys()] with zeros behind the last.
template <typename T>
void PackTransposedPanels(const ConstTensorView& b, Range n, Range k, float* to) {
  const std::int64_t width = PanelKeys(), depth = k.size();
  for (std::int64_t first = n.begin; first < n.end; first += width, to += width * depth) {
    const std::int64_t count = std::min(width, n.end - first);
    const T* rows = Row<T>(b, first) + k.begin;
    if (count < width) std::fill(to, to + width * depth, 0.0F);
    for (std::int64_t j = 0; j < count; j += 4) {
      const T* from = rows + j * b.stride;
      std::int64_t i = 0;
      for (; j + 4 <= count && i + 4 <= depth; i += 4) {
        Transpose4x4(from + i, b.stride, to + i * width + j, width);
      }
      for (; i < depth; ++i) {
        for (std::int64_t rest = 0; rest < std::min<std::int64_t>(4, count - j); ++rest) {
          to[i * width + j + rest] = LoadOne(from + rest * b.stride + i);
        }
      }
    }
  }
}

// The same, stored [K, N]. A few rows at a time: whole rows would scatter over too many panels,
// whole panels over too many pages.
template <typename T>
void PackPanelsOfRows(const ConstTensorView& b, Range n, Range k, float* to) {
  const std::int64_t width = PanelKeys();
  for (std::int64_t low = k.begin; low < k.end; low += kRowsAtOnce) {
    for (std::int64_t first = n.begin; first < n.end; first += width) {
      const std::int64_t count = std::min(width, n.end - first);
      float* out = to + (first - n.begin) * k.size() + (low - k.begin) * width;
      for (std::int64_t i = low; i < std::min(low + kRowsAtOnce, k.end); ++i, out += width) {
        const T* from = Row<T>(b, i) + first;
        if (count == width) {
          StoreFloats(F32(), LoadFloats(F32(), from), out);
          StoreFloats(F32(), LoadFloats(F32(), from + Lanes()), out + Lanes());
        } else {
          ConvertRow(from, out, count);
          std::fill(out + count, out + width, 0.0F);
        }
      }
    }
  }
}

// Rows m of A over k, as rows of k numbers.
template <typename T>
void PackRowsOfBlock(const ConstTensorView& a, Range m, Range k, float* to) {
  for (std::int64_t row = m.begin; row < m.end; ++row, to += k.size()) {
    ConvertRow(Row<T>(a, row) + k.begin, to, k.size());
  }
}

// to[r] = from[r], r in [0, kGroupRows).
template <typename T>
HWY_INLINE void CopyGroup(const T* from, float* to) {
#if HWY_TARGET == HWY_SCALAR
  for (int r = 0; r < kGroupRows; ++r) to[r] = LoadOne(from + r);
#else
  const hn::CappedTag<float, 4> four;
  const hn::CappedTag<float, 2> two;
  int r = 0;
  for (; r + 4 <= kGroupRows; r += 4) hn::StoreU(LoadFloats(four, from + r), four, to + r);
  for (; r < kGroupRows; r += 2) hn::StoreU(LoadFloats(two, from + r), two, to + r);
#endif
}

// The same, stored [K, M]: as groups [k][kGroupRows].
template <typename T>
void PackGroupsOfBlock(const ConstTensorView& a, Range m, Range k, float* to) {
  for (std::int64_t low = k.begin; low < k.end; low += kRowsAtOnce) {
    for (std::int64_t first = m.begin; first < m.end; first += kGroupRows) {
      const std::int64_t count = std::min<std::int64_t>(kGroupRows, m.end - first);
      float* out = to + (first - m.begin) * k.size() + (low - k.begin) * kGroupRows;
      for (std::int64_t i = low; i < std::min(low + kRowsAtOnce, k.end); ++i, out += kGroupRows) {
        const T* from = Row<T>(a, i) + first;
        if (count == kGroupRows) {
          CopyGroup(from, out);
        } else {
          for (std::int64_t r = 0; r < count; ++r) out[r] = LoadOne(from + r);
        }
      }
    }
  }
}

// C [rows, columns] (+)= a group of rows times a panel of which only `columns` are wanted.
template <bool kTransposedA>
void PartialPanel(std::int64_t rows, std::int64_t columns, Operand a, Operand b, std::int64_t depth,
                  float* c, std::int64_t ldc, bool accumulate) {
  HWY_ALIGN float sums[kGroupRows * 2 * HWY_MAX_BYTES / sizeof(float)];
  ProductOfRows<2, kTransposedA>(rows, a, b, depth, sums, b.stride, false);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const float sum = sums[r * b.stride + j];
      c[r * ldc + j] = accumulate ? c[r * ldc + j] + sum : sum;
    }
  }
}

// C [m, n] (+)= a block of A times panels of B.
template <bool kTransposedA>
void MultiplyBlock(const float* a_block, const float* b_panels, std::int64_t rows,
                   std::int64_t columns, std::int64_t depth, float* c, std::int64_t ldc,
                   bool accumulate) {
  const std::int64_t width = PanelKeys();
  for (std::int64_t column = 0; column < columns; column += width, b_panels += width * depth) {
    const Operand b = {b_panels, width};
    for (std::int64_t row = 0; row < rows; row += kGroupRows) {
      const std::int64_t count = std::min<std::int64_t>(kGroupRows, rows - row);
      const Operand a = {a_block + row * depth, kTransposedA ? kGroupRows : depth};
      float* target = c + row * ldc + column;
      if (column + width <= columns) {
        ProductOfRows<2, kTransposedA>(count, a, b, depth, target, ldc, accumulate);
      } else {
        PartialPanel<kTransposedA>(count, columns - column, a, b, depth, target, ldc, accumulate);
      }
    }
  }
}

template <typename T>
void RunPieceOf(const GemmArgs& args, Range m, Range n, const PackBuffers& buffers) {
  const bool rounds = args.c.dtype != DType::kFloat32;
  const TensorView target = args.c.RowRange(m.begin, m.size()).ColumnRange(n.begin, n.size());
  float* const c = rounds ? buffers.sums : target.As<float>();
  const std::int64_t ldc = rounds ? n.size() : target.stride;
  const std::int64_t depth = args.transpose_a ? args.a.rows : args.a.columns;
  const std::int64_t parts = CeilDiv(depth, kMaxDepth);
  for (std::int64_t part = 0; part < parts; ++part) {
    const Range k = {depth * part / parts, depth * (part + 1) / parts};
    args.transpose_b ? PackTransposedPanels<T>(args.b, n, k, buffers.b_panels)
                     : PackPanelsOfRows<T>(args.b, n, k, buffers.b_panels);
    for (std::int64_t row = m.begin; row < m.end; row += kBlockRows) {
      const Range rows = {row, std::min(m.end, row + kBlockRows)};
      args.transpose_a ? PackGroupsOfBlock<T>(args.a, rows, k, buffers.a_block)
                       : PackRowsOfBlock<T>(args.a, rows, k, buffers.a_block);
      const auto multiply = args.transpose_a ? MultiplyBlock<true> : MultiplyBlock<false>;
      multiply(buffers.a_block, buffers.b_panels, rows.size(), n.size(), k.size(),
               c + (row - m.begin) * ldc, ldc, part > 0 || args.accumulate);
    }
  }
  for (std::int64_t row = 0; rounds && row < m.size(); ++row) {
    ConvertRow(c + row * ldc, Row<bf16>(target, row), n.size());
  }
}

void RunPiece(const GemmArgs& args, Range m, Range n, const PackBuffers& buffers) {
  args.a.dtype == DType::kFloat32 ? RunPieceOf<float>(args, m, n, buffers)
                                  : RunPieceOf<bf16>(args, m, n, buffers);
}

}  // namespace
}  // namespace sequela::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sequela::cpu {
namespace {

HWY_EXPORT(RunPiece);

struct PieceSize {
  std::int64_t rows, columns;
};

// Cycles of a piece per number of depth: 16 multiply-adds each, and one for a packed number, of
// which a piece has one per row and one per column.
double CyclesPerDepth(const PieceSize& size) {
  return static_cast<double>(size.rows * size.columns) / 16.0 +
         static_cast<double>(size.rows + size.columns);
}

// Large pieces pack little, small ones let threads end together: the cut of C into equal pieces
// that a simple count of cycles finds best. It changes no bit.
PieceSize SizeOfPieces(const TensorView& c, int num_threads) {
  constexpr std::int64_t kMaxMoreCuts = 32;
  const std::int64_t least_rows = CeilDiv(c.rows, kMaxPieceRows);
  const std::int64_t least_columns = CeilDiv(c.columns, kMaxPieceColumns);
  const std::int64_t more =
      num_threads == 1 ? 0 : std::min(std::int64_t{4} * num_threads, kMaxMoreCuts);
  PieceSize best{};
  double least = 0.0;
  for (std::int64_t i = least_rows; i <= least_rows + more; ++i) {
    for (std::int64_t j = least_columns; j <= least_columns + more; ++j) {
      const PieceSize size = {RoundUp(CeilDiv(c.rows, i), kRowStep),
                              RoundUp(CeilDiv(c.columns, j), kColumnStep)};
      const std::int64_t pieces = CeilDiv(c.rows, size.rows) * CeilDiv(c.columns, size.columns);
      // Threads never end together to the cycle: a quarter of a piece is waited for.
      const double cost = (static_cast<double>(CeilDiv(pieces, std::int64_t{num_threads})) + 0.25) *
                          CyclesPerDepth(size);
      if (best.rows == 0 || cost < least) {
        best = size;
        least = cost;
      }
    }
  }
  return best;
}

PackBuffers TakeBuffers(WorkspaceCarver& carver, DType c_dtype) {
  PackBuffers buffers{};
  buffers.a_block = carver.Take<float>(kBlockRows * kMaxDepth);
  buffers.b_panels = carver.Take<float>(kMaxPieceColumns * kMaxDepth);
  if (c_dtype != DType::kFloat32) {
    buffers.sums = carver.Take<float>(kMaxPieceRows * kMaxPieceColumns);
  }
  return buffers;
}

}  // namespace

void GemmPacked(const Exec& exec, const GemmArgs& args) {
  WorkspaceCarver carver(exec.workspace);
  std::vector<PackBuffers> buffers;
  buffers.reserve(static_cast<std::size_t>(exec.num_threads));
  for (int thread = 0; thread < exec.num_threads; ++thread) {
    buffers.push_back(TakeBuffers(carver, args.c.dtype));
  }
  const PieceSize size = SizeOfPieces(args.c, exec.num_threads);
  const std::int64_t across = CeilDiv(args.c.columns, size.columns);
  ParallelFor(exec.num_threads, CeilDiv(args.c.rows, size.rows) * across,
              [&](std::int64_t piece, int thread) {
                const std::int64_t row = piece / across * size.rows;
                const std::int64_t column = piece % across * size.columns;
                HWY_DYNAMIC_DISPATCH(RunPiece)
                (args, {row, std::min(args.c.rows, row + size.rows)},
                 {column, std::min(args.c.columns, column + size.columns)},
                 buffers[static_cast<std::size_t>(thread)]);
              });
}

std::int64_t GemmPackedWorkspaceBytes(const Exec& exec, const GemmArgs& args) {
  WorkspaceCarver carver;
  for (int thread = 0; thread < exec.num_threads; ++thread) TakeBuffers(carver, args.c.dtype);
  return carver.used_bytes();
}

}  // namespace sequela::cpu
#endif
