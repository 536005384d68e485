// The steps that the attention kernels for sm_90a share: rows into tiles of panels, the two kinds
// of products of a warpgroup, accumulators back to memory.
#pragma once

#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"

namespace sequela::cuda {

constexpr int kWarpgroupRows = 64;
constexpr int kWarpgroupThreads = 128;

__device__ inline int Warpgroup() { return static_cast<int>(threadIdx.x) / kWarpgroupThreads; }

// The same value, of which the compiler knows nothing: what is computed from it is computed where
// it stands and does not stay in registers from one step to the next, of which these kernels have
// few.
__device__ inline int Fresh(int value) {
  asm volatile("" : "+r"(value));
  return value;
}
__device__ inline int FreshThread() {
  int thread;
  asm volatile("mov.u32 %0, %%tid.x;\n" : "=r"(thread));
  return thread;
}

// Starts copying rows [first, first + count) of one head into a tile of kRows; zeros beyond.
template <int kHeadSize, int kRows, int kThreads>
__device__ void CopyPanels(std::uint32_t tile, const Rows<const bf16>& from, int first, int count,
                           int head) {
  constexpr int kChunks = kHeadSize / mma::kChunk;
  constexpr int kRowsAtOnce = kThreads / kChunks;
  static_assert(kThreads % kChunks == 0 && kRows % kRowsAtOnce == 0);
  const int thread = FreshThread();
  const int chunk = thread % kChunks;
  const int begin = thread / kChunks;
  const bf16* source = from.data + head * kHeadSize + chunk * mma::kChunk;
#pragma unroll
  for (int i = 0; i < kRows / kRowsAtOnce; ++i) {
    const int row = begin + i * kRowsAtOnce;
    const bool valid = row < count;
    CopyAsync16(tile + panel::Byte(kRows, row, chunk),
                source + (valid ? first + row : 0) * from.stride, valid);
  }
}

// Products of rows, in the background: c [64 x 64] = rows a [64 x H] . rows b [64 x H]; a from row
// `a_row` of a tile of kARows.
template <int kHeadSize, int kARows>
__device__ void MultiplyRowsAsync(float (&c)[8][4], std::uint32_t a_tile, int a_row,
                                  std::uint32_t b_tile) {
  const std::uint64_t a = panel::Descriptor(a_tile + a_row * panel::kRowBytes, kARows);
  const std::uint64_t b = panel::Descriptor(b_tile, kWarpgroupRows);
#pragma unroll
  for (int step = 0; step < kHeadSize / 16; ++step) {
    MultiplyAsync<false>(c, panel::Advance(a, panel::ColumnStepBytes(kARows, step)),
                         panel::Advance(b, panel::ColumnStepBytes(kWarpgroupRows, step)), step > 0);
  }
}

// Weighted sums of rows, in the background: c [64 x H] += weights [64 x 64] times rows b [64 x H].
template <int kHeadSize>
__device__ void AddWeightedRowsAsync(float (&c)[kHeadSize / 8][4], const Fragment (&weights)[4],
                                     std::uint32_t b_tile) {
  const std::uint64_t b = panel::Descriptor(b_tile, kWarpgroupRows);
#pragma unroll
  for (int step = 0; step < 4; ++step) {
    MultiplyAsync<true>(c, weights[step], panel::Advance(b, panel::RowStepBytes(step)), true);
  }
}

// Accumulators as left sides, rounded to bf16.
__device__ inline void PackRows(const float (&c)[8][4], Fragment (&packed)[4]) {
#pragma unroll
  for (int step = 0; step < 4; ++step) packed[step] = PackA(c[2 * step], c[2 * step + 1]);
}

// Writes a warp's 16 rows of accumulators, the upper and lower half of each 16 times a factor, as
// bf16: to rows [first, first + count). They pass through 16 rows of a tile of kRows, from
// `tile_row`, that nobody else is using, so that memory is written in whole chunks.
template <int kHeadSize, int kRows>
__device__ void StorePanels(const float (&c)[kHeadSize / 8][4], float upper_factor,
                            float lower_factor, std::byte* tile, int tile_row, const Rows<bf16>& to,
                            int first, int count, int head) {
  constexpr int kChunks = kHeadSize / mma::kChunk;
  const auto place = [&](int row, int chunk) {
    return tile + panel::Byte(kRows, tile_row + row, chunk);
  };
#pragma unroll
  for (int n = 0; n < kChunks; ++n) {
    const int row = mma::AccumulatorRow(Lane(), 0), byte = 2 * mma::AccumulatorColumn(Lane(), 0);
    *reinterpret_cast<std::uint32_t*>(place(row, n) + byte) =
        PackBf16(c[n][0] * upper_factor, c[n][1] * upper_factor);
    *reinterpret_cast<std::uint32_t*>(place(row + 8, n) + byte) =
        PackBf16(c[n][2] * lower_factor, c[n][3] * lower_factor);
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 16 * kChunks / 32; ++i) {
    const int row = (i * 32 + Lane()) / kChunks, chunk = Lane() % kChunks;
    if (row < count) {
      *reinterpret_cast<uint4*>(to.Row(first + row) + head * kHeadSize + chunk * mma::kChunk) =
          *reinterpret_cast<const uint4*>(place(row, chunk));
    }
  }
}

}  // namespace sequela::cuda
