// The second pass of radix counting (quantiles.h) over all codes at once, in as many rounds as the
// memory bound asks for.
#pragma once

#include <functional>
#include <vector>

#include "dataio/ingest/fitting/vocabulary_fit.h"
#include "dataio/ingest/ranks.h"
#include "dataio/ingest/reading/event_records.h"

namespace sequela {

// Runs `use(worker, partition)` over this rank's partitions.
using PartitionPass =
    std::function<void(const std::function<void(int worker, const CleanPartition&)>& use)>;

// By code: the upper edges of its value bins, none for codes without.
std::vector<std::vector<float>> FitAllBinEdges(const FitInput& input, int workers,
                                               std::int64_t memory_bytes, const Ranks& ranks,
                                               const PartitionPass& pass);

}  // namespace sequela
