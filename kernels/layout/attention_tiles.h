// Every tile, warp and stage count of the CUDA attention, each with its reason. The work list
// (attention_plan.h) is cut by these sizes, so that they are the same for all head sizes and
// both families of kernels.
#pragma once

#include <cstdint>

namespace sequela {

// A kernel of the tensor-core family: a block owns `owned` rows (queries, or keys for dK/dV) in
// registers and walks over the other side `step` rows at a time.
struct AttentionKernelTiles {
  int owned;
  int step;
  int warps;
  int stages;             // steps in shared memory at once: one computed, the others on their way
  int owned_matrices;     // [owned][head size] in shared memory
  int step_matrices;      // [step][head size] of each stage
  int stage_extra_bytes;  // per row of a stage, beside its matrices
  constexpr int threads() const { return 32 * warps; }
  constexpr int warp_rows() const { return owned / warps; }
  constexpr int owned_bytes(int head_size) const { return 2 * owned_matrices * owned * head_size; }
  constexpr int stage_bytes(int head_size) const {
    return step * (2 * step_matrices * head_size + stage_extra_bytes);
  }
  constexpr int shared_bytes(int head_size) const {
    return owned_bytes(head_size) + stages * stage_bytes(head_size);
  }
};

// Rows of 32 a warp at head size 64: each fragment of K or V that is read from shared memory serves
// two products, and shared memory does not limit them (m16n8k16 takes 256 B of K in the two clocks
// that an A100 computes it in, at 128 B a clock). At head size 128 the output alone would be 128
// registers and the kernel would spill 100 bytes a thread (nvcc 13.0), so that it has 16 rows a
// warp; the block's shape is the same. 128 queries: K and V come from L2 half as often as with 64.
// Documents of 100 to 4,000 tokens lose 15 % of the products to the edges of such tiles; warps that
// see nothing of a step skip it, which wins half of that back. 64 keys: scores are half of what the
// output is at head size 128. Shared memory: Q, and two stages of K and V: 48 and 96 KiB, so that
// two blocks share an SM at head size 64, and 8 warps are on it in both cases.
inline constexpr AttentionKernelTiles AttentionForwardTiles(int head_size) {
  return {.owned = 128,
          .step = 64,
          .warps = head_size == 64 ? 4 : 8,
          .stages = 2,
          .owned_matrices = 1,
          .step_matrices = 2,
          .stage_extra_bytes = 0};
}
inline constexpr int kAttentionForwardRows = AttentionForwardTiles(64).owned;
static_assert(kAttentionForwardRows == AttentionForwardTiles(128).owned, "one list of tiles");

// dQ: 16 rows a warp, since scores and their gradients (2 x 32 registers) stand beside dQ (64).
// Q + dO 32 KiB + 2 x (K + V) 64 KiB at head size 128: two blocks on an SM of Hopper.
inline constexpr AttentionKernelTiles kAttentionQueryGradientTiles{.owned = 64,
                                                                   .step = 64,
                                                                   .warps = 4,
                                                                   .stages = 2,
                                                                   .owned_matrices = 2,
                                                                   .step_matrices = 2,
                                                                   .stage_extra_bytes = 0};

// dK/dV: 16 keys a warp, since dK and dV (2 x 64 registers at head size 128) stand beside scores
// and their gradients (2 x 32). K + V 32 KiB + 2 x (Q + dO + 16 bytes a row: its interval, lse and
// delta) 66 KiB: two blocks on an SM of Hopper.
inline constexpr AttentionKernelTiles kAttentionKeyGradientTiles{.owned = 64,
                                                                 .step = 64,
                                                                 .warps = 4,
                                                                 .stages = 2,
                                                                 .owned_matrices = 2,
                                                                 .step_matrices = 2,
                                                                 .stage_extra_bytes = 16};

// The kernels for sm_90a, whose products read shared memory themselves: a warpgroup takes 64 rows,
// one chain of 64 x 64 products after another. Forward: two warpgroups, so that K and V come from
// L2 as often as above. 128 registers a thread and 96 KiB at head size 128: two blocks on an SM,
// whose warpgroups take turns at the tensor cores. What they wait for most is each other's
// instructions: the tensor cores need 512 clocks for a step of 64 x 64 at head size 128, four warps
// issue 300 to 450 instructions for it. One block with twice the registers, which computes the next
// scores while it adds up values, took a third longer on an H200. Copies by tensor maps (TMA) that
// a thread of these warps starts made forward 2 to 7 % faster and backward 1 to 3 % slower: they
// are for a producer warp, which these kernels have no registers for. Backward: the sizes of the
// family above.
inline constexpr AttentionKernelTiles kHopperAttentionForwardTiles{.owned = kAttentionForwardRows,
                                                                   .step = 64,
                                                                   .warps = 8,
                                                                   .stages = 2,
                                                                   .owned_matrices = 1,
                                                                   .step_matrices = 2,
                                                                   .stage_extra_bytes = 0};
inline constexpr AttentionKernelTiles kHopperAttentionQueryGradientTiles =
    kAttentionQueryGradientTiles;
inline constexpr AttentionKernelTiles kHopperAttentionKeyGradientTiles = kAttentionKeyGradientTiles;

// The plain kernels, any head size: 8 warps of 4 rows meet 32 keys, one a lane. At head size 256 in
// fp32 two owned matrices and one of the other side are 96 KiB, within the 99 KiB of every GPU of
// sm_80 and later.
struct AttentionPlainTiles {
  static constexpr int kLanes = 32;
  static constexpr int kWarps = 8;
  static constexpr int kRowsPerWarp = 4;
  static constexpr int kOwned = kWarps * kRowsPerWarp;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kMaxHeadSize = 256;
  static constexpr int kChannelsPerLane = kMaxHeadSize / kLanes;
  // Floats from one row of the other side to the next: odd, so that 32 lanes that read one channel
  // of 32 rows meet 32 banks.
  static constexpr int StagedStride(int head_size) { return head_size + 1; }
  static constexpr int SharedBytes(int head_size, int owned_matrices) {
    return 4 * (owned_matrices * kOwned * head_size + kLanes * StagedStride(head_size));
  }
};
static_assert(AttentionPlainTiles::SharedBytes(256, 2) <= 99 << 10);

}  // namespace sequela
