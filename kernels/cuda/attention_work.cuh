// Which tile and head a block of attention has; all families.
#pragma once

#include "kernels/cuda/attention_kernels.h"
#include "kernels/layout/attention_mask.h"

namespace sequela::cuda {

// The block's work of a list of tiles: AttentionBlockOf for a head's keys and values (or queries
// and output gradients) of `row_bytes` a row.
struct BlockWork {
  AttentionTile tile;
  int head;
};
__device__ inline BlockWork WorkOf(const AttentionDeviceView& plan, const AttentionTile* tiles,
                                   int heads, int row_bytes) {
  const AttentionBlock block =
      AttentionBlockOf(tiles, plan.document_begin, static_cast<int>(blockIdx.x), heads, row_bytes);
  return {tiles[block.tile], block.head};
}

// A value that is the same in all of the warp, said so that the compiler may keep it in a uniform
// register: of the others these kernels have few.
__device__ inline int Uniform(int value) { return __shfl_sync(0xffffffffU, value, 0); }

__device__ inline KvInterval Uniform(const KvInterval& interval) {
  return {Uniform(interval.begin), Uniform(interval.end)};
}

// What kernels want to know of their work all along.
__device__ inline BlockWork Uniform(const BlockWork& work) {
  return {{.document = work.tile.document,
           .first = Uniform(work.tile.first),
           .count = Uniform(work.tile.count),
           .begin = Uniform(work.tile.begin),
           .end = Uniform(work.tile.end)},
          Uniform(work.head)};
}

}  // namespace sequela::cuda
