// RMSNorm with the residual addition before it, forward and backward (kernels/rms_norm.h).
#pragma once

#include "kernels/cuda/kernel.h"
#include "kernels/cuda/row_kernels.h"

namespace sequela::cuda {

inline constexpr int kMaxNormThreads = 512;
// Packs that a thread keeps in registers between the two looks at its group: all of them up to
// kMaxNormThreads * kKeptPacks packs (8,192 elements in fp32). What lies beyond is read again.
inline constexpr int kKeptPacks = 4;

// How groups are shared among threads: 2^log2_threads neighbours a group.
struct NormWork {
  std::int64_t rows = 0;
  std::uint32_t groups = 0;  // of a row
  std::uint32_t size = 0;    // of a group, the gain's
  std::uint32_t log2_threads = 0;
  bool vectors = false;  // every pack is whole and suits wide accesses
};

template <typename X, typename Residual, typename Y>
struct RmsNormForwardParams {
  NormWork work;
  Rows<const X> x;
  Rows<const Residual> residual_in;
  Rows<Residual> residual_out;
  const float* gain;
  Rows<Y> y;
  float* rstd;  // [rows * groups], or null
  float epsilon;
};
// Without a residual, named by x and y.
SEQUELA_KERNEL sequela_rms_norm_f32_f32(RmsNormForwardParams<float, float, float> p);
SEQUELA_KERNEL sequela_rms_norm_f32_bf16(RmsNormForwardParams<float, float, bf16> p);
SEQUELA_KERNEL sequela_rms_norm_bf16_f32(RmsNormForwardParams<bf16, bf16, float> p);
SEQUELA_KERNEL sequela_rms_norm_bf16_bf16(RmsNormForwardParams<bf16, bf16, bf16> p);
// With one, named by x and the residual; y's type is x's.
SEQUELA_KERNEL sequela_add_rms_norm_f32_f32(RmsNormForwardParams<float, float, float> p);
SEQUELA_KERNEL sequela_add_rms_norm_f32_bf16(RmsNormForwardParams<float, bf16, float> p);
SEQUELA_KERNEL sequela_add_rms_norm_bf16_f32(RmsNormForwardParams<bf16, float, bf16> p);
SEQUELA_KERNEL sequela_add_rms_norm_bf16_bf16(RmsNormForwardParams<bf16, bf16, bf16> p);

template <typename DY, typename In>
struct RmsNormBackwardParams {
  NormWork work;
  Rows<const DY> d_y;
  Rows<const In> input;
  Rows<const In> d_residual;  // or null
  const float* gain;
  const float* rstd;  // [rows * groups]
  Rows<In> d_input;
  float* partials;  // [pieces, size] of the gain's gradient
  std::uint32_t piece_rows;
};
// A block a piece of rows. Dynamic shared memory: [groups that a block takes at once, size] floats
// where these are several. Named by d_y and the input.
SEQUELA_KERNEL sequela_rms_norm_backward_f32_f32(RmsNormBackwardParams<float, float> p);
SEQUELA_KERNEL sequela_rms_norm_backward_f32_bf16(RmsNormBackwardParams<float, bf16> p);
SEQUELA_KERNEL sequela_rms_norm_backward_bf16_f32(RmsNormBackwardParams<bf16, float> p);
SEQUELA_KERNEL sequela_rms_norm_backward_bf16_bf16(RmsNormBackwardParams<bf16, bf16> p);

}  // namespace sequela::cuda
