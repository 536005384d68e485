// Event-balanced loss weights (docs/training.md): frequent event types count less, so that rare ones
// are learnt.
#pragma once

#include <vector>

#include "dataio/store/vocabulary.h"

namespace sequela {

// The loss weight of each token as a target, [V]: proportional to train_count^(alpha - 1) over the
// target kinds (a count of 0 is taken as 1), scaled so that the mean over all train targets is 1; 1
// for kinds that are never targets, and everywhere where alpha is 1.
// A model trained with these weights predicts p' proportional to w p: p is proportional to
// exp(logit - log w). REQUIRES: 0 <= alpha <= 1.
std::vector<float> BalanceWeights(const Vocabulary& vocabulary, double alpha);

}  // namespace sequela
