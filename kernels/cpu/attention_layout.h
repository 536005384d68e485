// Tile sizes and strides of the CPU's attention, and the dropout stream: what does not depend on
// the vector instructions.
#pragma once

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/base/int_math.h"
#include "kernels/layout/attention_dropout.h"

namespace sequela::cpu {

// Sized for an L2 of 512 KiB at head size 64: forward 48 x 256 (scores 51 KiB, keys and values 144
// KiB, outputs of 384 rows 120 KiB), backward 96 x 128. Multiples of every target's group and
// panel.
inline constexpr std::int64_t kForwardTileRows = 48;
inline constexpr std::int64_t ForwardTileKeys(std::int64_t head_size) {
  return head_size <= 64 ? 256 : 128;
}
inline constexpr std::int64_t kBackwardTileRows = 96;
inline constexpr std::int64_t kBackwardTileKeys = 128;
inline constexpr std::int64_t kMaxTileRows = 96;
inline constexpr std::int64_t kMaxTileKeys = 256;
// Rows of scores start in different cache sets.
inline constexpr std::int64_t kScoreStride = kMaxTileKeys + 16;

// Floats from one packed row to the next: a multiple of 16 (one cache line), the multiple odd, so
// that a column of rows spreads over all cache sets.
inline std::int64_t RowStride(std::int64_t head_size) {
  const std::int64_t lines = CeilDiv(head_size, 16);
  return (lines % 2 == 0 ? lines + 1 : lines) * 16;
}

// Dropout's random words for one head of one document.
class DropoutStream : public AttentionDropoutStream {
 public:
  DropoutStream(const AttentionDropout& dropout, std::int64_t document_id, std::int64_t head)
      : AttentionDropoutStream(
            MakeAttentionDropoutSettings(dropout.probability, dropout.seed, dropout.stream),
            document_id, head) {}
};

}  // namespace sequela::cpu
