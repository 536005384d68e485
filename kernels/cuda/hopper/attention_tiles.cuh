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
__device__ inline unsigned FreshThread() {
  unsigned thread;
  asm volatile("mov.u32 %0, %%tid.x;\n" : "=r"(thread));
  return thread;
}

// Starts copying rows [first, first + count) of one head into a tile of kRows; zeros beyond. All
// kThreads threads of a block: eight side by side bring a row of a panel. What this costs is
// instructions for addresses. So products of 32 bits have results of 64, which is one instruction;
// all but the row's part is immediate; and of a tile that is full no row is asked whether it
// exists. REQUIRES: strides below 2^31.
template <int kHeadSize, int kRows, int kThreads>
__device__ void CopyPanels(std::uint32_t tile, const Rows<const bf16>& from, int first, int count,
                           int head) {
  constexpr int kRowsAtOnce = kThreads / panel::kChunks;
  static_assert(kThreads % panel::kChunks == 0 && kRows % kRowsAtOnce == 0);
  static_assert(kRowsAtOnce % 8 == 0, "whole patterns apart, so that places differ by a constant");
  const unsigned thread = FreshThread();
  const auto row = static_cast<int>(thread / panel::kChunks);
  const auto chunk = static_cast<int>(thread % panel::kChunks);
  const std::uint32_t to = tile + panel::Byte(kRows, row, chunk);
  const bf16* const source =
      from.data +
      std::uint64_t{static_cast<unsigned>(first + row)} * static_cast<unsigned>(from.stride) +
      static_cast<unsigned>(head * kHeadSize + chunk * mma::kChunk);
  const auto for_chunks = [&](const auto& copy) {
#pragma unroll
    for (int i = 0; i < kRows; i += kRowsAtOnce) {
#pragma unroll
      for (int p = 0; p < kHeadSize / panel::kColumns; ++p) {
        copy(row + i, to + i * panel::kRowBytes + p * panel::PanelBytes(kRows),
             source + i * from.stride + p * panel::kColumns);
      }
    }
  };
  if (count >= kRows) {
    for_chunks([](int, std::uint32_t place, const bf16* address) { CopyAsync16(place, address); });
  } else {
    for_chunks([&](int at, std::uint32_t place, const bf16* address) {
      CopyAsync16(place, at < count ? address : from.data, at < count);
    });
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
  const auto place = [&](int row, int chunk) {
    return tile + panel::Byte(kRows, tile_row + row, chunk);
  };
  StoreThrough<kHeadSize>(place, c, upper_factor, lower_factor, to, first, count, head);
}

}  // namespace sequela::cuda
