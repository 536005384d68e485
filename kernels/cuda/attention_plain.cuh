// The steps of the plain attention kernels. A block holds 32 "owned" rows of one head in shared
// memory, four a warp, and stages 32 rows of the other side at a time, one a lane: scores are dot
// products of owned rows (read by all lanes at once) with the lane's staged row; sums over the
// other side take the staged rows one after another, channels across lanes.
#pragma once

#include <cmath>

#include "kernels/cuda/attention_work.cuh"
#include "kernels/cuda/elements.cuh"

namespace sequela::cuda::plain {

using Tiles = AttentionPlainTiles;
constexpr int kR = Tiles::kRowsPerWarp;
constexpr int kC = Tiles::kChannelsPerLane;
constexpr unsigned kAllLanes = 0xffffffffU;

__device__ inline int Lane() { return static_cast<int>(threadIdx.x) % 32; }
__device__ inline int Warp() { return static_cast<int>(threadIdx.x) / 32; }

// Of two matrices, one head and row.
template <typename T>
__device__ int RowBytes(int head_size) {
  return 2 * static_cast<int>(sizeof(T)) * head_size;
}

// Rows [first, first + count) of 32, columns of one head, as floats `stride` apart; zeros beyond.
template <typename T>
__device__ void Stage(float* to, int stride, const Rows<const T>& from, int first, int count,
                      int head, int head_size) {
  for (int i = static_cast<int>(threadIdx.x); i < 32 * head_size; i += Tiles::kThreads) {
    const int row = i / head_size, channel = i % head_size;
    to[row * stride + channel] =
        row < count ? LoadFloat(from.Row(first + row) + head * head_size + channel) : 0.0F;
  }
}

// dot[r] = the warp's owned row r . the lane's staged row.
__device__ inline void Dots(const float* owned, const float* staged, int head_size,
                            float (&dot)[kR]) {
  const float* mine = staged + Lane() * Tiles::StagedStride(head_size);
  const float* rows = owned + Warp() * kR * head_size;
  for (int r = 0; r < kR; ++r) dot[r] = 0.0F;
  for (int channel = 0; channel < head_size; ++channel) {
    const float x = mine[channel];
#pragma unroll
    for (int r = 0; r < kR; ++r) dot[r] = fmaf(rows[r * head_size + channel], x, dot[r]);
  }
}

// sum[r] += the staged rows, each times its lane's weight[r].
__device__ inline void AddWeighted(const float (&weight)[kR], const float* staged, int head_size,
                                   float (&sum)[kR][kC]) {
  for (int from = 0; from < 32; ++from) {
    const float* row = staged + from * Tiles::StagedStride(head_size);
    float w[kR];
#pragma unroll
    for (int r = 0; r < kR; ++r) w[r] = __shfl_sync(kAllLanes, weight[r], from);
#pragma unroll
    for (int c = 0; c < kC; ++c) {
      const int channel = c * 32 + Lane();
      if (channel < head_size) {
        const float x = row[channel];
#pragma unroll
        for (int r = 0; r < kR; ++r) sum[r][c] = fmaf(w[r], x, sum[r][c]);
      }
    }
  }
}

__device__ inline void Clear(float (&sum)[kR][kC]) {
  for (int r = 0; r < kR; ++r) {
    for (int c = 0; c < kC; ++c) sum[r][c] = 0.0F;
  }
}

// The warp's rows that lie below `count`, times factor[r].
template <typename T>
__device__ void StoreOwned(const Rows<T>& to, int first, int count, int head, int head_size,
                           const float (&sum)[kR][kC], const float (&factor)[kR]) {
#pragma unroll
  for (int r = 0; r < kR; ++r) {
    const int row = Warp() * kR + r;
    if (row >= count) continue;
    T* out = to.Row(first + row) + head * head_size;
#pragma unroll
    for (int c = 0; c < kC; ++c) {
      const int channel = c * 32 + Lane();
      if (channel < head_size) StoreFloat(out + channel, sum[r][c] * factor[r]);
    }
  }
}

// The keys that a row sees; none for rows that are not there.
struct Interval {
  int begin = 0, end = 0;
  __device__ bool Has(int key) const { return begin <= key && key < end; }
};
__device__ inline Interval IntervalOf(const AttentionDeviceView& plan, int row, bool exists) {
  return exists ? Interval{plan.kv_begin[row], plan.kv_end[row]} : Interval{};
}

// Dropout's factor for one pair, rows of the batch.
__device__ inline float Keep(const AttentionDropoutStream& stream, int row, int key,
                             int document_begin) {
  if (!stream.active()) return 1.0F;
  const int at = key - document_begin;
  return stream.Keep(stream.Words(row - document_begin, at / 4)[static_cast<std::size_t>(at % 4)]);
}

}  // namespace sequela::cuda::plain
