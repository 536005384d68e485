// Rotary positions (Su et al. 2021) by token index, by real time, or some pairs by each.
//
// Pairs of a head of H channels are (i, i + H/2), i < H/2, as in Hugging Face's rotate_half. The
// first pairs turn with the index: angle = position * theta^(-2i/H). The LAST num_time_pairs pairs
// turn with real time: angle = 2 pi frac((t - t0) / period), with periods geometric from
// min_period_seconds to max_period_years (of 365.25 days), t0 the document's first time. Angles are
// formed in fp64, times from an int64 difference: 90 years in minutes would have an fp32 ulp of 4
// minutes. T tokens, D documents, N heads of any matrix that is turned.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/exec.h"

namespace sequela {

inline constexpr std::int64_t kMaxRopeHeadDim = 1024;

struct TimeRopeSettings {
  std::int64_t head_dim = 64;  // H, even, at most kMaxRopeHeadDim
  double theta = 10000.0;
  std::int64_t num_time_pairs = 0;  // of the H/2; see TimePairs
  double min_period_seconds = 60.0;
  double max_period_years = 200.0;
};

// The number of time pairs for a share of the pairs (model.rope_time_fraction): rounded to nearest,
// ties away from zero; 0 -> 0 and 1 -> H/2.
std::int64_t TimePairs(std::int64_t head_dim, double fraction);

// Fills [T, H/2] tables of cosines and sines, once a batch for all layers. Runs on the host
// whatever exec.backend says: the tables are host memory.
struct TimeRopeTableArgs {
  std::span<const std::int32_t> position;          // [T] index within the document
  std::span<const std::int64_t> time_us{};         // [T]; may be empty where num_time_pairs is 0
  std::span<const std::int32_t> document_begin{};  // [D + 1], from 0 to T; may be empty likewise
  TensorView cos_TP;                               // [T, H/2] fp32; written in full
  TensorView sin_TP;                               // likewise
};
void BuildTimeRopeTable(const Exec& exec, const TimeRopeSettings& settings,
                        const TimeRopeTableArgs& args);

// Turns every head of x in place. q and k that lie side by side are one x of N + G heads.
struct TimeRopeArgs {
  TensorView x_TNH;        // [T, N * H], fp32 or bf16, rows at any stride; read and written
  ConstTensorView cos_TP;  // [T, H/2] fp32; H is twice its columns
  ConstTensorView sin_TP;
};
void TimeRopeForward(const Exec& exec, const TimeRopeArgs& args);
// The inverse rotation: turns the gradient of the turned q, k into that of the unturned.
void TimeRopeBackward(const Exec& exec, const TimeRopeArgs& args);

}  // namespace sequela
