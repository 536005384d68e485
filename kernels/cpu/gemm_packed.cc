// A packed product (after Goto and van de Geijn, "Anatomy of high-performance matrix
// multiplication", 2008): C in pieces for threads; in a piece K in parts; per part B as panels of
// two vectors' columns; innermost a group of rows times a panel out of registers. B's panels lie
// in L2 and stream past a group of A's rows, which stays in L1. So fp32 rows of A are read where
// they lie, at any stride: at 256 channels, packing them as Goto does cost 6 to 8 % of a product.
// What must be packed of A (bf16, columns) goes in small blocks. Threads share nothing: packing B
// costs one or two per cent of a piece's arithmetic and spares barriers.
#include "kernels/cpu/gemm_packed.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels/base/int_math.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/parallel_for.h"
#include "kernels/layout/workspace_carver.h"

#ifndef SEQUELA_KERNELS_CPU_GEMM_PACKED_ONCE_
#define SEQUELA_KERNELS_CPU_GEMM_PACKED_ONCE_
namespace sequela::cpu {

// A piece of B takes 256 KiB, half of an L2; a group of 6 rows of A 6 KiB and a panel of 16 columns
// 16 KiB of an L1 of 32 KiB; a packed block of A 48 KiB.
constexpr std::int64_t kMaxDepth = 256;
constexpr std::int64_t kMaxPieceRows = 2048;
constexpr std::int64_t kMaxPieceColumns = 256;
// Whole groups of every target, and whole cache lines of A's columns.
constexpr std::int64_t kBlockRows = 48;
// Sizes of pieces are multiples of every target's groups and panels.
constexpr std::int64_t kRowStep = kBlockRows;
constexpr std::int64_t kColumnStep = 32;
// Rows of K packed at a time where they lie far apart.
constexpr std::int64_t kRowsAtOnce = 8;
// And how far ahead they are fetched.
constexpr std::int64_t kRowsAhead = 2 * kRowsAtOnce;

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
#include "kernels/cpu/panels-inl.h"
#include "kernels/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sequela::cpu::HWY_NAMESPACE {
namespace {

// Columns n of B over k, stored [K, N], as panels [k][PanelKeys()] with zeros behind the last. A
// few rows at a time: whole rows would scatter over too many panels, whole panels over too many
// pages.
template <typename T>
void PackPanelsOfRows(const ConstTensorView& b, Range n, Range k, float* to) {
  const std::int64_t width = PanelKeys();
  for (std::int64_t low = k.begin; low < k.end; low += kRowsAtOnce) {
    for (std::int64_t first = n.begin; first < n.end; first += width) {
      const std::int64_t count = std::min(width, n.end - first);
      float* out = to + (first - n.begin) * k.size() + (low - k.begin) * width;
      for (std::int64_t i = low; i < std::min(low + kRowsAtOnce, k.end); ++i, out += width) {
        const T* from = Row<T>(b, i) + first;
        hwy::Prefetch(Row<T>(b, std::min(i + kRowsAhead, k.end - 1)) + first);
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

// Fetches a matrix that is wanted next, a few cache lines at each step of the work before it.
class Fetcher {
 public:
  Fetcher(const ConstTensorView& next, std::int64_t steps)
      : next_(next),
        lines_of_row_(CeilDiv(next.columns * SizeOf(next.dtype), kLineBytes)),
        lines_of_step_(CeilDiv(next.rows * lines_of_row_, std::max<std::int64_t>(steps, 1))) {}

  HWY_INLINE void Step() {
    for (std::int64_t i = 0; i < lines_of_step_ && row_ < next_.rows; ++i) {
      const auto* row =
          static_cast<const char*>(next_.data) + row_ * next_.stride * SizeOf(next_.dtype);
      hwy::Prefetch(row + line_ * kLineBytes);
      if (++line_ == lines_of_row_) {
        line_ = 0;
        ++row_;
      }
    }
  }

 private:
  static constexpr std::int64_t kLineBytes = 64;

  ConstTensorView next_;
  std::int64_t lines_of_row_, lines_of_step_;
  std::int64_t row_ = 0, line_ = 0;
};

// One part of K of a piece, B packed.
struct PieceOfPart {
  Range m, n, k;
  const float* b_panels;
  float* c;  // of the piece's first row and column
  std::int64_t ldc;
  bool accumulate;
  Range next_k;  // of the part to come; empty after the last

  std::int64_t panels() const { return CeilDiv(n.size(), PanelKeys()); }
  float* c_row(std::int64_t row) const { return c + (row - m.begin) * ldc; }
};

// Rows [row, row + rows) of C (+)= a, that group of A's rows, times all panels of B.
template <bool kTransposedA>
void MultiplyGroup(const PieceOfPart& part, std::int64_t row, std::int64_t rows, Operand a,
                   Fetcher& fetcher) {
  const std::int64_t width = PanelKeys();
  const std::int64_t depth = part.k.size();
  const std::int64_t columns = part.n.size();
  Operand b = {part.b_panels, width};
  float* c = part.c_row(row);
  for (std::int64_t column = 0; column < columns; column += width) {
    fetcher.Step();
    if (column + width <= columns) {
      ProductOfRows<2, kTransposedA>(rows, a, b, depth, c, part.ldc, part.accumulate);
    } else {
      PartialPanel<kTransposedA>(rows, columns - column, a, b, depth, c, part.ldc, part.accumulate);
    }
    b.data += width * depth;
    c += width;
  }
}

// A's part as it is stored: rows of M over k, or rows of k over M.
HWY_INLINE ConstTensorView PartOfA(const GemmArgs& args, Range m, Range k) {
  return args.transpose_a ? args.a.RowRange(k.begin, k.size()).ColumnRange(m.begin, m.size())
                          : args.a.RowRange(m.begin, m.size()).ColumnRange(k.begin, k.size());
}

// What is wanted of A once the rows before `row` are done: the next `count` rows, or the first ones
// of the next part.
HWY_INLINE ConstTensorView NextOfA(const GemmArgs& args, const PieceOfPart& part, std::int64_t row,
                                   std::int64_t count) {
  const bool more = row < part.m.end;
  const std::int64_t first = more ? row : part.m.begin;
  return PartOfA(args, {first, std::min(first + count, part.m.end)}, more ? part.k : part.next_k);
}

// The rows of A are read where they lie.
void MultiplyInPlace(const GemmArgs& args, const PieceOfPart& part) {
  for (std::int64_t row = part.m.begin; row < part.m.end; row += kGroupRows) {
    const std::int64_t end = std::min<std::int64_t>(row + kGroupRows, part.m.end);
    Fetcher fetcher(NextOfA(args, part, end, kGroupRows), part.panels());
    const Operand a = {Row<float>(args.a, row) + part.k.begin, args.a.stride};
    MultiplyGroup<false>(part, row, end - row, a, fetcher);
  }
}

// A is packed, a block of rows at a time.
template <typename T, bool kTransposedA>
void MultiplyBlocks(const GemmArgs& args, const PieceOfPart& part, float* a_block) {
  const std::int64_t depth = part.k.size();
  for (std::int64_t first = part.m.begin; first < part.m.end; first += kBlockRows) {
    const Range rows = {first, std::min(part.m.end, first + kBlockRows)};
    kTransposedA ? PackGroupsOfBlock<T>(args.a, rows, part.k, a_block)
                 : PackRowsOfBlock<T>(args.a, rows, part.k, a_block);
    Fetcher fetcher(NextOfA(args, part, rows.end, kBlockRows),
                    CeilDiv(rows.size(), std::int64_t{kGroupRows}) * part.panels());
    for (std::int64_t row = first; row < rows.end; row += kGroupRows) {
      const Operand a = {a_block + (row - first) * depth, kTransposedA ? kGroupRows : depth};
      MultiplyGroup<kTransposedA>(part, row, std::min<std::int64_t>(kGroupRows, rows.end - row), a,
                                  fetcher);
    }
  }
}

template <typename T>
void MultiplyPart(const GemmArgs& args, const PieceOfPart& part, float* a_block) {
  if (args.transpose_a) return MultiplyBlocks<T, true>(args, part, a_block);
  if constexpr (std::is_same_v<T, float>) {
    MultiplyInPlace(args, part);
  } else {
    MultiplyBlocks<T, false>(args, part, a_block);
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
    const auto k_of = [&](std::int64_t i) {
      return Range{depth * i / parts, depth * (i + 1) / parts};
    };
    const Range k = k_of(part);
    if (args.transpose_b) {
      PackPanels(Row<T>(args.b, n.begin) + k.begin, args.b.stride, n.size(), k.size(),
                 buffers.b_panels);
    } else {
      PackPanelsOfRows<T>(args.b, n, k, buffers.b_panels);
    }
    MultiplyPart<T>(args,
                    {.m = m,
                     .n = n,
                     .k = k,
                     .b_panels = buffers.b_panels,
                     .c = c,
                     .ldc = ldc,
                     .accumulate = part > 0 || args.accumulate,
                     .next_k = part + 1 < parts ? k_of(part + 1) : Range{k.end, k.end}},
                    buffers.a_block);
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
// which a piece has one per column, and for a row that is packed or fetched about as much.
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
