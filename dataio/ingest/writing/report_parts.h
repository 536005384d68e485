// What the report of an ingest says of its tokens, its findings and a vocabulary from elsewhere.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "dataio/ingest/ingest.h"
#include "dataio/ingest/reading/counts.h"
#include "dataio/store/vocabulary.h"

namespace sequela {

// What the events became, and how many are unknown. `counts`: by split, by token.
void CountMass(const std::array<std::vector<std::int64_t>, 3>& counts, const Vocabulary& vocabulary,
               IngestReport* report);

// A line for each finding that was made.
void AddFindings(const Findings& findings, IngestReport* report);

// The codes whose share of the events differs most from `train_shares`, at most 20.
std::vector<IngestReport::Drift> FindDrift(const std::vector<std::string>& codes,
                                           const std::vector<std::int64_t>& events_of_code,
                                           const std::map<std::string, double>& train_shares);

}  // namespace sequela
