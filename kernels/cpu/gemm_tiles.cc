// How a product is cut, by shape alone: C into tiles of at most 256 x 512; a K that counts
// tokens (transposed A) into chunks of 512 that are added in order, and, where C has too few tiles
// to keep threads busy, into strands of chunks whose partial sums are added in order too.
//
// Rows of tokens come in any number, primitives should not: a tile's rows are a multiple of 64, and
// what remains is computed by 64 rows that overlap the tile before. What remains of K is padded
// with zeros to 64.
#include "kernels/cpu/gemm_tiles.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "kernels/base/int_math.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/parallel_for.h"
#include "kernels/cpu/tile_matmul.h"
#include "kernels/layout/workspace_carver.h"

namespace sequela::cpu {
namespace {

constexpr std::int64_t kChunkK = 512;
constexpr std::int64_t kStep = 64;
constexpr std::int64_t kMaxTileM = 256;
constexpr std::int64_t kMaxTileN = 512;
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
  std::int64_t tiles_m = 0, tiles_n = 0;
  std::int64_t strands = 1;  // of K; each but the first sums into a buffer of its own
  std::int64_t chunk_k = 0;  // chunks of K within a strand

  std::int64_t pieces() const { return tiles_m * tiles_n * strands; }
};

std::int64_t FloorPowerOfTwo(std::int64_t value) {
  return static_cast<std::int64_t>(
      std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(value, 1))));
}

Cut CutByShape(const GemmArgs& args) {
  Cut cut;
  cut.m = args.c.rows;
  cut.n = args.c.columns;
  cut.k = args.transpose_a ? args.a.rows : args.a.columns;
  cut.chunk_k = args.transpose_a ? kChunkK : std::max<std::int64_t>(cut.k, 1);
  cut.tiles_m = CeilDiv(cut.m, kMaxTileM);
  cut.tiles_n = CeilDiv(cut.n, kMaxTileN);
  if (args.transpose_a) {
    cut.strands = FloorPowerOfTwo(
        std::min(cut.k / kChunkK, kEnoughPieces / std::max<std::int64_t>(cut.pieces(), 1)));
  }
  return cut;
}

const void* At(const ConstTensorView& view, std::int64_t row, std::int64_t column) {
  return static_cast<const char*>(view.data) + (row * view.stride + column) * SizeOf(view.dtype);
}

void* At(const TensorView& view, std::int64_t row, std::int64_t column) {
  return static_cast<char*>(view.data) + (row * view.stride + column) * SizeOf(view.dtype);
}

// Copies rows of `from` [rows, columns] to [padded_rows, columns], with zeros below.
void CopyPadded(const ConstTensorView& from, std::int64_t padded_rows, void* to) {
  const std::int64_t row_bytes = from.columns * SizeOf(from.dtype);
  for (std::int64_t row = 0; row < from.rows; ++row) {
    std::memcpy(static_cast<char*>(to) + row * row_bytes, At(from, row, 0),
                static_cast<std::size_t>(row_bytes));
  }
  std::memset(static_cast<char*>(to) + from.rows * row_bytes, 0,
              static_cast<std::size_t>((padded_rows - from.rows) * row_bytes));
}

// What one thread works in.
struct ThreadBuffers {
  void* a = nullptr;  // the padded rest of K
  void* b = nullptr;
  void* c = nullptr;  // the rows that overlap
  void* scratch = nullptr;
  std::int64_t scratch_bytes = 0;
};

ThreadBuffers TakeThreadBuffers(WorkspaceCarver& carver, std::int64_t scratch_bytes) {
  ThreadBuffers buffers;
  buffers.a = carver.Take<float>(kStep * kMaxTileM);
  buffers.b = carver.Take<float>(kStep * kMaxTileN);
  buffers.c = carver.Take<float>(kStep * kMaxTileN);
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
    if (skip == 0) return RunBlock(m, n, 0, {c.data, c.stride, c.dtype, args_.accumulate}, buffers);
    RunBlock(m, n, 0, {buffers.c, n.size(), c.dtype, false}, buffers);
    if (rehearsal_) return;
    for (std::int64_t row = skip; row < m.size(); ++row) {
      const void* sum = At(ConstTensorView(buffers.c, c.dtype, m.size(), n.size()), row, 0);
      if (args_.accumulate) {
        AddRow(static_cast<const float*>(sum), static_cast<float*>(At(c, row, 0)), n.size());
      } else {
        std::memcpy(At(c, row, 0), sum, static_cast<std::size_t>(n.size() * SizeOf(c.dtype)));
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
      const std::int64_t rest = args_.transpose_a ? k.size() % kStep : 0;
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
    if (depth != k.size()) {
      a = Padded(a, depth, buffers.a);
      b = Padded(b, depth, buffers.b);
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

  ConstTensorView Padded(const ConstTensorView& from, std::int64_t rows, void* to) const {
    if (!rehearsal_) CopyPadded(from, rows, to);
    return {to, from.dtype, rows, from.columns, from.columns};
  }

  const GemmArgs& args_;
  const Cut& cut_;
  float* strand_sums_ = nullptr;
  std::int64_t* rehearsal_ = nullptr;
};

// The scratch of a thread for products of this shape with any number of tokens up to these. Which
// primitive oneDNN picks, and hence its scratch, depends on the strides too: rows that overlap are
// summed in a buffer of ours and need a rehearsal even if this number of tokens has none.
std::int64_t Rehearse(const GemmArgs& args) {
  std::int64_t scratch_bytes = 0;
  const auto rehearse = [&](const GemmArgs& like) {
    const Cut cut = CutByShape(like);
    const Product product(like, cut, &scratch_bytes);
    for (std::int64_t piece = 0; piece < cut.pieces(); ++piece) product.RunPiece(piece, {});
  };
  const auto rehearse_tokens = [&](std::int64_t tokens) {
    if (tokens > args.a.rows) return;
    GemmArgs like = args;
    like.a.rows = tokens;
    (args.transpose_a ? like.b.rows : like.c.rows) = tokens;
    rehearse(like);
  };
  rehearse(args);
  const std::int64_t most = args.transpose_a ? kChunkK : kMaxTileM;
  for (std::int64_t tokens = kStep; tokens <= most; tokens += kStep) rehearse_tokens(tokens);
  for (const std::int64_t tokens : {std::int64_t{1}, kStep / 2, kStep + 1}) rehearse_tokens(tokens);
  return scratch_bytes;
}

}  // namespace

void GemmTiles(const Exec& exec, const GemmArgs& args) {
  const Cut cut = CutByShape(args);
  WorkspaceCarver carver(exec.workspace);
  auto* strand_sums = carver.Take<float>(StrandFloats(cut));
  WorkspaceCarver one_thread;
  TakeThreadBuffers(one_thread, 0);
  const std::int64_t share = (std::ssize(exec.workspace) - carver.used_bytes()) / exec.num_threads -
                             one_thread.used_bytes();
  SEQUELA_CHECK(share >= 0, "workspace of {} bytes", exec.workspace.size());
  std::vector<ThreadBuffers> buffers;
  buffers.reserve(static_cast<std::size_t>(exec.num_threads));
  for (int thread = 0; thread < exec.num_threads; ++thread) {
    buffers.push_back(TakeThreadBuffers(
        carver, share / WorkspaceCarver::kAlignment * WorkspaceCarver::kAlignment));
  }
  const Product product(args, cut, strand_sums);
  ParallelFor(exec.num_threads, cut.pieces(), [&](std::int64_t piece, int thread) {
    product.RunPiece(piece, buffers[static_cast<std::size_t>(thread)]);
  });
  if (cut.strands > 1) {
    ParallelFor(exec.num_threads, cut.m, [&](std::int64_t row, int) { product.AddStrands(row); });
  }
}

std::int64_t GemmTilesWorkspaceBytes(const Exec& exec, const GemmArgs& args) {
  const std::int64_t scratch_bytes = Rehearse(args);
  WorkspaceCarver carver;
  // The strands of the longest K: their number never grows when K falls.
  carver.Take<float>(StrandFloats(CutByShape(args)));
  for (int thread = 0; thread < exec.num_threads; ++thread) {
    TakeThreadBuffers(carver, scratch_bytes);
  }
  return carver.used_bytes();
}

void PrepareGemmTiles(const Exec&, const GemmArgs& args) { Rehearse(args); }

}  // namespace sequela::cpu
