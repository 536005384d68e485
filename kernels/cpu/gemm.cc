// How a matrix product is cut. By shape alone: C into tiles of at most 256 x 512; a K that counts
// tokens (transposed A) into chunks of 512 that are added in order, and, where C has too few tiles
// to keep threads busy, into strands of chunks whose partial sums are added in order too.
//
// Rows of tokens come in any number, primitives should not: a tile's rows are a multiple of 64, and
// what remains is computed by 64 rows that overlap the tile before. What remains of K is padded
// with zeros to 64.
#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "kernels/base/int_math.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/parallel_for.h"
#include "kernels/cpu/tile_matmul.h"
#include "kernels/cpu/workspace_carver.h"

namespace sequela::cpu {
namespace {

constexpr std::int64_t kChunkK = 512;
constexpr std::int64_t kStep = 64;
// The largest tiles that CutByShape makes.
constexpr std::int64_t kMaxTileM = 1344;
constexpr std::int64_t kMaxTileN = 1344;
// Pieces of work below which K is cut into strands. A constant: it may not depend on the number of
// threads.
constexpr std::int64_t kEnoughPieces = 8;

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

// Cuts [0, total) into `pieces` nearly equal ranges that begin at multiples of kStep.
Range EvenPiece(std::int64_t total, std::int64_t pieces, std::int64_t index) {
  const std::int64_t steps = CeilDiv(total, kStep);
  return {std::min(total, steps * index / pieces * kStep),
          std::min(total, steps * (index + 1) / pieces * kStep)};
}

struct Cut {
  std::int64_t m = 0, n = 0, k = 0;
  bool widen = false;  // bf16 that this machine multiplies as fp32
  std::int64_t tiles_m = 0, tiles_n = 0;
  std::int64_t strands = 1;  // of K; each but the first sums into a buffer of its own
  std::int64_t chunk_k = 0;  // chunks of K within a strand

  std::int64_t pieces() const { return tiles_m * tiles_n * strands; }
};

std::int64_t FloorPowerOfTwo(std::int64_t value) {
  return static_cast<std::int64_t>(
      std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(value, 1))));
}

// With AVX-512 oneDNN's speed hardly depends on the tile: 256 x 512. Without, it packs its operands
// only where 1/m + 1/n < 0.0038 and loses a quarter elsewhere (seen on Zen 3: 768x768x2048
// transposed, 91 GFLOP/s as one tile, 62 as tiles of 384): tiles just large enough, their number a
// power of two so that it divides among threads.
void CutIntoTiles(Cut& cut) {
  if (TileMatmulLikesSmallTiles()) {
    cut.tiles_m = CeilDiv(cut.m, 256);
    cut.tiles_n = CeilDiv(cut.n, 512);
    return;
  }
  cut.tiles_n = FloorPowerOfTwo(cut.n / 640);
  const double packing = 0.0038 - static_cast<double>(cut.tiles_n) /
                                      static_cast<double>(std::max<std::int64_t>(cut.n, 1));
  const std::int64_t least_m =
      packing < 0.0016 ? 512 : static_cast<std::int64_t>(1.0 / packing) + kStep;
  cut.tiles_m = FloorPowerOfTwo(cut.m / least_m);
}

Cut CutByShape(const GemmArgs& args) {
  Cut cut;
  cut.m = args.c.rows;
  cut.n = args.c.columns;
  cut.k = args.transpose_a ? args.a.rows : args.a.columns;
  cut.widen = args.a.dtype == DType::kBFloat16 && !TileMatmulHasNativeBf16();
  cut.chunk_k = args.transpose_a || cut.widen ? kChunkK : std::max<std::int64_t>(cut.k, 1);
  CutIntoTiles(cut);
  if (args.transpose_a) {
    cut.strands = FloorPowerOfTwo(
        std::min(cut.k / kChunkK, kEnoughPieces / std::max<std::int64_t>(cut.pieces(), 1)));
  }
  return cut;
}

void CheckArgs(const GemmArgs& args) {
  const std::int64_t a_rows = args.transpose_a ? args.a.columns : args.a.rows;
  const std::int64_t a_columns = args.transpose_a ? args.a.rows : args.a.columns;
  const std::int64_t b_rows = args.transpose_b ? args.b.columns : args.b.rows;
  const std::int64_t b_columns = args.transpose_b ? args.b.rows : args.b.columns;
  SEQUELA_CHECK(a_rows == args.c.rows && b_columns == args.c.columns && a_columns == b_rows,
                "[{}, {}] times [{}, {}] into [{}, {}]", a_rows, a_columns, b_rows, b_columns,
                args.c.rows, args.c.columns);
  const bool floats = args.a.dtype == DType::kFloat32;
  SEQUELA_CHECK(floats || args.a.dtype == DType::kBFloat16);
  SEQUELA_CHECK(args.b.dtype == args.a.dtype && !(args.transpose_a && args.transpose_b));
  const bool fp32_out = args.c.dtype == DType::kFloat32;
  SEQUELA_CHECK(fp32_out ||
                (args.c.dtype == args.a.dtype && !args.accumulate && !args.transpose_a));
}

const void* At(const ConstTensorView& view, std::int64_t row, std::int64_t column) {
  return static_cast<const char*>(view.data) + (row * view.stride + column) * SizeOf(view.dtype);
}

void* At(const TensorView& view, std::int64_t row, std::int64_t column) {
  return static_cast<char*>(view.data) + (row * view.stride + column) * SizeOf(view.dtype);
}

// Copies rows of `from` [rows, columns] to [padded_rows, columns] floats or numbers of the same
// type, with zeros below.
void CopyPadded(const ConstTensorView& from, std::int64_t padded_rows, bool widen, void* to) {
  const std::int64_t size = widen ? 4 : SizeOf(from.dtype);
  for (std::int64_t row = 0; row < from.rows; ++row) {
    char* target = static_cast<char*>(to) + row * from.columns * size;
    if (widen) {
      WidenRow(static_cast<const bf16*>(At(from, row, 0)), reinterpret_cast<float*>(target),
               from.columns);
    } else {
      std::memcpy(target, At(from, row, 0), static_cast<std::size_t>(from.columns * size));
    }
  }
  std::memset(static_cast<char*>(to) + from.rows * from.columns * size, 0,
              static_cast<std::size_t>((padded_rows - from.rows) * from.columns * size));
}

// What one thread works in.
struct ThreadBuffers {
  void* a = nullptr;  // copies of operands: widened, or the padded rest of K
  void* b = nullptr;
  void* c = nullptr;  // a tile of C before rounding, or the rows that overlap
  void* scratch = nullptr;
  std::int64_t scratch_bytes = 0;
};

ThreadBuffers TakeThreadBuffers(WorkspaceCarver& carver, const Cut& cut,
                                std::int64_t scratch_bytes) {
  const std::int64_t depth = cut.widen ? kChunkK : kStep;
  ThreadBuffers buffers;
  buffers.a = carver.Take<float>(depth * kMaxTileM);
  buffers.b = carver.Take<float>(depth * kMaxTileN);
  buffers.c = carver.Take<float>((cut.widen ? kMaxTileM : kStep) * kMaxTileN);
  buffers.scratch = carver.Take<char>(scratch_bytes);
  buffers.scratch_bytes = scratch_bytes;
  return buffers;
}

std::int64_t StrandFloats(const Cut& cut) { return (cut.strands - 1) * cut.m * cut.n; }

// Where a block of the product is summed.
struct Target {
  void* data = nullptr;
  std::int64_t stride = 0;
  DType dtype = DType::kFloat32;
  bool accumulate = false;
};

// One product cut into pieces; a piece runs on one thread. A rehearsal touches no data: it only
// builds what the pieces would run and finds the largest scratch that they want.
class Product {
 public:
  Product(const GemmArgs& args, const Cut& cut, float* strand_sums)
      : args_(args), cut_(cut), strand_sums_(strand_sums) {}
  Product(const GemmArgs& args, const Cut& cut, std::int64_t* rehearsal_scratch_bytes)
      : args_(args), cut_(cut), rehearsal_(rehearsal_scratch_bytes) {}

  void RunPiece(std::int64_t piece, const ThreadBuffers& buffers) const {
    const std::int64_t strand = piece % cut_.strands;
    const std::int64_t tile = piece / cut_.strands;
    const Range m = EvenPiece(cut_.m, cut_.tiles_m, tile / cut_.tiles_n);
    const Range n = EvenPiece(cut_.n, cut_.tiles_n, tile % cut_.tiles_n);
    if (m.size() == 0 || n.size() == 0) return;
    if (strand > 0) {
      float* sums =
          rehearsal_ ? nullptr
                     : strand_sums_ + (strand - 1) * cut_.m * cut_.n + m.begin * cut_.n + n.begin;
      return RunBlock(m, n, strand, {sums, cut_.n, DType::kFloat32, false}, buffers);
    }
    const std::int64_t rest = args_.transpose_a || cut_.m < kStep ? 0 : m.size() % kStep;
    RunRows({m.begin, m.end - rest}, n, 0, buffers);
    if (rest > 0) RunRows({m.end - kStep, m.end}, n, kStep - rest, buffers);
  }

  // Adds the strands of one row of C to it, in order.
  void AddStrands(std::int64_t row) const {
    for (std::int64_t strand = 1; strand < cut_.strands; ++strand) {
      AddRow(strand_sums_ + ((strand - 1) * cut_.m + row) * cut_.n,
             static_cast<float*>(At(args_.c, row, 0)), cut_.n);
    }
  }

 private:
  // Rows m of C but for the first `skip`, which another block writes.
  void RunRows(Range m, Range n, std::int64_t skip, const ThreadBuffers& buffers) const {
    if (m.size() == 0) return;
    const TensorView c = args_.c.RowRange(m.begin, m.size()).ColumnRange(n.begin, n.size());
    const DType sum_dtype = cut_.widen ? DType::kFloat32 : c.dtype;
    if (skip == 0 && sum_dtype == c.dtype) {
      return RunBlock(m, n, 0, {c.data, c.stride, c.dtype, args_.accumulate}, buffers);
    }
    RunBlock(m, n, 0, {buffers.c, n.size(), sum_dtype, false}, buffers);
    if (rehearsal_) return;
    for (std::int64_t row = skip; row < m.size(); ++row) {
      const void* sum = At(ConstTensorView(buffers.c, sum_dtype, m.size(), n.size()), row, 0);
      if (args_.accumulate) {
        AddRow(static_cast<const float*>(sum), static_cast<float*>(At(c, row, 0)), n.size());
      } else if (sum_dtype == c.dtype) {
        std::memcpy(At(c, row, 0), sum, static_cast<std::size_t>(n.size() * SizeOf(c.dtype)));
      } else {
        RoundRow(static_cast<const float*>(sum), static_cast<bf16*>(At(c, row, 0)), n.size());
      }
    }
  }

  // All of one strand's K, chunk after chunk.
  void RunBlock(Range m, Range n, std::int64_t strand, Target target,
                const ThreadBuffers& buffers) const {
    const std::int64_t chunks = CeilDiv(cut_.k, cut_.chunk_k);
    const Range mine = {chunks * strand / cut_.strands, chunks * (strand + 1) / cut_.strands};
    for (std::int64_t chunk = mine.begin; chunk < mine.end; ++chunk) {
      const Range k = {chunk * cut_.chunk_k, std::min(cut_.k, (chunk + 1) * cut_.chunk_k)};
      const std::int64_t rest = args_.transpose_a && !cut_.widen ? k.size() % kStep : 0;
      for (const Range part : {Range{k.begin, k.end - rest}, Range{k.end - rest, k.end}}) {
        if (part.size() == 0) continue;
        RunTile(m, n, part, target, buffers);
        target.accumulate = true;
      }
    }
  }

  void RunTile(Range m, Range n, Range k, const Target& target,
               const ThreadBuffers& buffers) const {
    const Range a_rows = args_.transpose_a ? k : m, a_columns = args_.transpose_a ? m : k;
    const Range b_rows = args_.transpose_b ? n : k, b_columns = args_.transpose_b ? k : n;
    ConstTensorView a = args_.a.RowRange(a_rows.begin, a_rows.size())
                            .ColumnRange(a_columns.begin, a_columns.size());
    ConstTensorView b = args_.b.RowRange(b_rows.begin, b_rows.size())
                            .ColumnRange(b_columns.begin, b_columns.size());
    std::int64_t depth = k.size();
    if (args_.transpose_a) depth = RoundUp(depth, kStep);
    if (cut_.widen || depth != k.size()) {
      a = Copied(a, args_.transpose_a ? depth : a.rows, buffers.a);
      b = Copied(b, args_.transpose_a ? depth : b.rows, buffers.b);
    }
    const TileShape shape{.m = m.size(),
                          .n = n.size(),
                          .k = depth,
                          .lda = a.stride,
                          .ldb = b.stride,
                          .ldc = target.stride,
                          .transpose_a = args_.transpose_a,
                          .transpose_b = args_.transpose_b,
                          .accumulate = target.accumulate,
                          .dtype_ab = a.dtype,
                          .dtype_c = target.dtype};
    const TileMatmul& matmul = FindTileMatmul(shape);
    const std::int64_t scratch_bytes = TileMatmulScratchBytes(matmul);
    if (rehearsal_) {
      *rehearsal_ = std::max(*rehearsal_, scratch_bytes);
      return;
    }
    SEQUELA_CHECK(scratch_bytes <= buffers.scratch_bytes, "wants {} bytes of scratch, has {}",
                  scratch_bytes, buffers.scratch_bytes);
    RunTileMatmul(matmul, a.data, b.data, target.data, buffers.scratch);
  }

  ConstTensorView Copied(const ConstTensorView& from, std::int64_t rows, void* to) const {
    if (!rehearsal_) CopyPadded(from, rows, cut_.widen, to);
    return {to, cut_.widen ? DType::kFloat32 : from.dtype, rows, from.columns, from.columns};
  }

  const GemmArgs& args_;
  const Cut& cut_;
  float* strand_sums_ = nullptr;
  std::int64_t* rehearsal_ = nullptr;
};

// The scratch of a thread for products of this shape with any number of tokens up to these.
std::int64_t Rehearse(const GemmArgs& args) {
  std::int64_t scratch_bytes = 0;
  const auto rehearse = [&](GemmArgs like) {
    const Cut cut = CutByShape(like);
    const Product product(like, cut, &scratch_bytes);
    for (std::int64_t piece = 0; piece < cut.pieces(); ++piece) product.RunPiece(piece, {});
  };
  rehearse(args);
  const std::int64_t most = args.transpose_a ? kChunkK : kMaxTileM;
  for (std::int64_t steps = kStep; steps <= std::min(most, args.a.rows); steps += kStep) {
    GemmArgs like = args;
    like.a.rows = steps;
    (args.transpose_a ? like.b.rows : like.c.rows) = steps;
    rehearse(like);
  }
  return scratch_bytes;
}

void FillWithZeros(const TensorView& c) {
  for (std::int64_t row = 0; row < c.rows; ++row) {
    std::memset(At(c, row, 0), 0, static_cast<std::size_t>(c.columns * SizeOf(c.dtype)));
  }
}

}  // namespace

void Gemm(const Exec& exec, const GemmArgs& args) {
  CheckArgs(args);
  if (args.c.empty()) return;
  const Cut cut = CutByShape(args);
  if (cut.k == 0) {
    if (!args.accumulate) FillWithZeros(args.c);
    return;
  }
  WorkspaceCarver carver(exec.workspace);
  auto* strand_sums = carver.Take<float>(StrandFloats(cut));
  WorkspaceCarver one_thread;
  TakeThreadBuffers(one_thread, cut, 0);
  const std::int64_t share = (std::ssize(exec.workspace) - carver.used_bytes()) / exec.num_threads -
                             one_thread.used_bytes();
  SEQUELA_CHECK(share >= 0, "workspace of {} bytes", exec.workspace.size());
  std::vector<ThreadBuffers> buffers;
  for (int thread = 0; thread < exec.num_threads; ++thread) {
    buffers.push_back(TakeThreadBuffers(
        carver, cut, share / WorkspaceCarver::kAlignment * WorkspaceCarver::kAlignment));
  }
  const Product product(args, cut, strand_sums);
  ParallelFor(exec.num_threads, cut.pieces(), [&](std::int64_t piece, int thread) {
    product.RunPiece(piece, buffers[static_cast<std::size_t>(thread)]);
  });
  if (cut.strands > 1) {
    ParallelFor(exec.num_threads, cut.m, [&](std::int64_t row, int) { product.AddStrands(row); });
  }
}

std::int64_t GemmWorkspaceBytes(const Exec& exec, const GemmArgs& args) {
  CheckArgs(args);
  const Cut cut = CutByShape(args);
  const std::int64_t scratch_bytes = Rehearse(args);
  WorkspaceCarver carver;
  // The strands of the longest K: their number never grows when K falls.
  carver.Take<float>(StrandFloats(cut));
  for (int thread = 0; thread < exec.num_threads; ++thread) {
    TakeThreadBuffers(carver, cut, scratch_bytes);
  }
  return carver.used_bytes();
}

void PrepareGemm(const Exec&, const GemmArgs& args) {
  CheckArgs(args);
  Rehearse(args);
}

bool GemmHasNativeBf16() { return TileMatmulHasNativeBf16(); }

}  // namespace sequela::cpu
