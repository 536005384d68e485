// The steps that the tensor-core kernels of attention share: rows into swizzled tiles, the two
// kinds of products, accumulators back to memory. Everything is for one warp but CopyRows.
#pragma once

#include "kernels/cuda/attention_rows.cuh"

namespace sequela::cuda {

// Starts copying rows [first, first + count) of one head into a tile of kRows; zeros beyond.
template <int kHeadSize, int kRows, int kThreads>
__device__ void CopyRows(std::uint32_t tile, const Rows<const bf16>& from, int first, int count,
                         int head) {
  constexpr int kChunks = kHeadSize / mma::kChunk;
  constexpr int kRowsAtOnce = kThreads / kChunks;
  static_assert(kThreads % kChunks == 0 && kRows % kRowsAtOnce == 0);
  const int chunk = static_cast<int>(threadIdx.x) % kChunks;
  const int begin = static_cast<int>(threadIdx.x) / kChunks;
  const bf16* source = from.data + head * kHeadSize + chunk * mma::kChunk;
#pragma unroll
  for (int i = 0; i < kRows / kRowsAtOnce; ++i) {
    const int row = begin + i * kRowsAtOnce;
    const bool valid = row < count;
    CopyAsync16(tile + mma::SwizzledByte<kHeadSize>(row, chunk),
                source + (valid ? first + row : 0) * from.stride, valid);
  }
}

// Where this lane starts with ldmatrix in a tile, from row `row`.
template <int kHeadSize>
__device__ std::uint32_t StartOf(std::uint32_t tile, int row, mma::RowChunk lane) {
  return tile + mma::SwizzledByte<kHeadSize>(row + lane.row, lane.chunk);
}

// Products of rows: c[m] [16 x 8 kBlocks] += rows a [16 kM x H] . rows b [8 kBlocks x H].
template <int kHeadSize, int kM, int kBlocks>
__device__ void MultiplyRows(float (&c)[kM][kBlocks][4], std::uint32_t a_tile, int a_row,
                             std::uint32_t b_tile) {
  const std::uint32_t a_start = StartOf<kHeadSize>(a_tile, a_row, mma::LaneOfA(Lane()));
  const std::uint32_t b_start = StartOf<kHeadSize>(b_tile, 0, mma::LaneOfB(Lane()));
#pragma unroll
  for (int step = 0; step < kHeadSize / 16; ++step) {
    Fragment a[kM];
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      a[m] = LoadMatrix(mma::MoveSwizzled<kHeadSize>(a_start, 16 * m, 2 * step));
    }
#pragma unroll
    for (int n = 0; n < kBlocks; n += 2) {
      const Fragment b = LoadMatrix(mma::MoveSwizzled<kHeadSize>(b_start, 8 * n, 2 * step));
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        MultiplyAdd(c[m][n], a[m], b.r[0], b.r[1]);
        MultiplyAdd(c[m][n + 1], a[m], b.r[2], b.r[3]);
      }
    }
  }
}

// Weighted sums of rows: c[m] [16 x H] += weights [16 x 8 kBlocks], rounded to bf16, times rows b
// [8 kBlocks x H].
template <int kHeadSize, int kM, int kBlocks>
__device__ void AddWeightedRows(float (&c)[kM][kHeadSize / 8][4],
                                const float (&weights)[kM][kBlocks][4], std::uint32_t b_tile) {
  const std::uint32_t b_start = StartOf<kHeadSize>(b_tile, 0, mma::LaneOfA(Lane()));
#pragma unroll
  for (int step = 0; step < kBlocks / 2; ++step) {
    Fragment a[kM];
#pragma unroll
    for (int m = 0; m < kM; ++m) a[m] = PackA(weights[m][2 * step], weights[m][2 * step + 1]);
#pragma unroll
    for (int n = 0; n < kHeadSize / 8; n += 2) {
      const Fragment b = LoadMatrixTransposed(mma::MoveSwizzled<kHeadSize>(b_start, 16 * step, n));
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        MultiplyAdd(c[m][n], a[m], b.r[0], b.r[1]);
        MultiplyAdd(c[m][n + 1], a[m], b.r[2], b.r[3]);
      }
    }
  }
}

template <int kM, int kBlocks>
__device__ void Clear(float (&c)[kM][kBlocks][4]) {
#pragma unroll
  for (int m = 0; m < kM; ++m) Clear(c[m]);
}

// Writes 16 rows of accumulators, their upper and lower halves times a factor, as bf16: to rows
// [first, first + count). They pass through the 16 rows of a tile from `tile_row`, which no other
// warp may be using, so that memory is written in whole chunks.
template <int kHeadSize>
__device__ void StoreRows(const float (&c)[kHeadSize / 8][4], float factor, float lower_factor,
                          std::byte* tile, int tile_row, const Rows<bf16>& to, int first, int count,
                          int head) {
  const auto place = [&](int row, int chunk) {
    return tile + mma::SwizzledByte<kHeadSize>(tile_row + row, chunk);
  };
  __syncwarp();
  StoreThrough<kHeadSize>(place, c, factor, lower_factor, to, first, count, head);
}

}  // namespace sequela::cuda
