// The model's NLL on a split while training goes on: enough to choose the best step by. The whole
// report is trainer/evaluation/evaluate.h's; both read the same scoring pass, and give the same
// figures for the same windows.
#pragma once

#include <cstdint>
#include <span>

#include "trainer/evaluation/scoring_pass.h"

namespace sequela {

struct SplitScore {
  std::int64_t targets = 0;
  std::int64_t events = 0;
  // Corrected where log weights are given; NaN where the score of any target is no finite number.
  double nll_per_token = 0.0;
  double nll_per_event = 0.0;
  double top1 = 0.0;
};

// True where some subject of the split has a target.
bool SplitHasTargets(const ChainStore& store, Split split);

// Collective. `windows`, of `split`, are the same on every rank; the result does not depend on the
// number of ranks. `log_weights` is [vocab_size] or empty. Uses the decoder's arena, as
// ScoreTargets.
SplitScore ScoreSplit(Decoder& decoder, FlatBuffers& buffers, Communicator& communicator,
                      const ChainStore& store, Split split, const EvaluationWindows& windows,
                      std::span<const float> log_weights);

}  // namespace sequela
