// Rotary positions (kernels/time_rope.h).
#pragma once

#include "kernels/cuda/row_kernels.h"

namespace sequela::cuda {

// A pack is one of pairs: its elements in a head's first half and those in the second. Of the
// threads of a row 2^log2_pack_threads neighbours share the packs of a head and the rest the heads,
// so that a thread loads its cosines and sines once for all heads that it turns.
template <typename T>
struct TimeRopeParams {
  Rows<T> x;
  Rows<const float> cos;
  Rows<const float> sin;
  std::int64_t rows;
  std::uint32_t heads;
  std::uint32_t pairs;
  std::uint32_t log2_pack_threads;
  std::uint32_t log2_row_threads;
  float direction;  // 1 forward, -1 backward
  bool vectors;
};
SEQUELA_KERNEL sequela_time_rope_f32(TimeRopeParams<float> p);
SEQUELA_KERNEL sequela_time_rope_bf16(TimeRopeParams<bf16> p);

}  // namespace sequela::cuda
