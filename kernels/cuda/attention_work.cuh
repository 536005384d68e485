// Which tile and head a block of attention has; all families.
#pragma once

#include "kernels/cuda/attention_kernels.h"

namespace sequela::cuda {

// A value that is the same in all of the warp, said so that the compiler may keep it in a uniform
// register: of the others these kernels have few.
__device__ inline int Uniform(int value) { return __shfl_sync(0xffffffffU, value, 0); }

// The block's work of a list of tiles: AttentionBlockOf for a head's keys and values (or queries
// and output gradients) of `row_bytes` a row.
struct BlockWork {
  AttentionTile tile;  // without its place in the list
  int head;
};
__device__ inline BlockWork WorkOf(const AttentionDeviceView& plan, const AttentionTile* tiles,
                                   int heads, int row_bytes) {
  const AttentionBlock block =
      AttentionBlockOf(tiles, plan.document_begin, static_cast<int>(blockIdx.x), heads, row_bytes);
  const AttentionTile& tile = tiles[block.tile];
  return {{.document = Uniform(tile.document),
           .first = Uniform(tile.first),
           .count = Uniform(tile.count),
           .begin = Uniform(tile.begin),
           .end = Uniform(tile.end)},
          Uniform(block.head)};
}

}  // namespace sequela::cuda
