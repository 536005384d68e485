// The CUDA versions of the rowwise operations; dispatch_rowwise.cc has checked what the host can
// check. Everything that the arguments' views, spans and plan images point to is device memory.
// Asynchronous: results are ready once exec.stream has passed the call.
#pragma once

#include <cstdint>

#include "kernels/adamw.h"
#include "kernels/bias.h"
#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/global_norm.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"
#include "kernels/time_rope.h"

namespace sequela::cuda {

// Rows of one partial sum of a gradient that is summed over rows (of a gain; of a bias at least as
// many). Fewer than on the CPU: a GPU wants more pieces at once.
inline constexpr std::int64_t kPartialRows = 32;

void EmbeddingForward(const Exec& exec, const EmbeddingForwardArgs& args);
void EmbeddingBackward(const Exec& exec, const EmbeddingBackwardArgs& args);
void RmsNormForward(const Exec& exec, const RmsNormForwardArgs& args);
void RmsNormBackward(const Exec& exec, const RmsNormBackwardArgs& args);
void TimeRopeForward(const Exec& exec, const TimeRopeArgs& args);
void TimeRopeBackward(const Exec& exec, const TimeRopeArgs& args);
void SwigluForward(const Exec& exec, const SwigluForwardArgs& args);
void SwigluBackward(const Exec& exec, const SwigluBackwardArgs& args);
void BiasForward(const Exec& exec, const BiasForwardArgs& args);
void BiasBackward(const Exec& exec, const BiasBackwardArgs& args);
void Dropout(const Exec& exec, const DropoutArgs& args);
void Adamw(const Exec& exec, const AdamwArgs& args);
void TileSquareSums(const Exec& exec, const TileSquareSumsArgs& args);
void Cast(const Exec& exec, const CastArgs& args);
void Add(const Exec& exec, const AddArgs& args);
void FillZero(const Exec& exec, const FillZeroArgs& args);

}  // namespace sequela::cuda
