// The model's NLL on a split while training goes on: enough to choose the best step by. The whole
// report is trainer/evaluation/evaluate.h's.
#pragma once

#include <cstdint>
#include <span>

#include "dataio/loader/evaluation_windows.h"
#include "dataio/store/chain_store.h"
#include "runtime/communicator.h"
#include "runtime/parameter_table.h"
#include "trainer/model/decoder.h"

namespace sequela {

struct SplitScore {
  std::int64_t targets = 0;
  std::int64_t events = 0;
  double nll_per_token = 0.0;  // corrected where log weights are given
  double nll_per_event = 0.0;
  double top1 = 0.0;
};

// True where some subject of the split has a target.
bool SplitHasTargets(const ChainStore& store, Split split);

// Collective. `windows` is the same on every rank (num_ranks 1): batch k is scored by rank
// k mod ranks and sums are added in the order of batches, so that the result does not depend on the
// number of ranks. `log_weights` is [vocab_size] or empty. Uses the decoder's arena: no forward pass
// of a training step may be under way.
SplitScore ScoreSplit(Decoder& decoder, FlatBuffers& buffers, Communicator& communicator,
                      const ChainStore& store, const EvaluationWindows& windows,
                      std::span<const float> log_weights);

}  // namespace sequela
