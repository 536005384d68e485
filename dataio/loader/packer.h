// Dealing windows to ranks and packing them into micro-batches. Pure functions of lengths, the same
// on every rank.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sequela {

// What a window of `length` tokens costs, in tokens of linear work: attention at a length of
// `quadratic_length` tokens costs as much as everything else.
double WindowCost(std::int64_t length, double quadratic_length);

// Deals windows to ranks so that their costs are alike: the dearest window first, each to the rank
// with the least so far. Returns for each rank the indices into `lengths` that it gets, ascending.
std::vector<std::vector<std::int64_t>> DealToRanks(std::span<const std::int64_t> lengths,
                                                   std::int64_t num_ranks, double quadratic_length);

// Packs windows into as few micro-batches of at most `capacity` tokens as first-fit in descending
// order needs. Returns the indices into `lengths` of each micro-batch, ascending; no micro-batch is
// empty. REQUIRES: no length exceeds the capacity.
std::vector<std::vector<std::int64_t>> PackIntoMicrobatches(std::span<const std::int64_t> lengths,
                                                            std::int64_t capacity);

}  // namespace sequela
