// The vocabulary from the statistics of the train split, in two steps: a draft with every token
// that might be, then, once the draft's tokens have been counted over train, the final one without
// those that too few subjects have.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataio/ingest/fitting/code_rules.h"
#include "dataio/ingest/fitting/statistics.h"
#include "dataio/ingest/ingest_settings.h"
#include "dataio/store/vocabulary.h"

namespace sequela {

struct FitInput {
  const std::vector<std::string>& codes;                 // sorted
  const std::vector<std::vector<std::string>>& parents;  // by code
  const std::vector<std::string>& texts;                 // sorted
  const std::vector<CodeRule>& rules;                    // by code
  const Statistics& statistics;
  const IngestSettings& settings;
  int min_subjects;
};

// min_subjects as set, or for 0 the smaller of 10 and an eighth of the train subjects, at least 1.
int EffectiveMinSubjects(const IngestSettings& settings, std::int64_t train_subjects);

// Whether a code's values are binned at all.
bool HasValueBins(const FitInput& input, std::size_t code);

// `edges`: by code, upper edges of its bins (quantiles.h); empty for codes without bins.
std::vector<TokenEntry> DraftTokens(const FitInput& input,
                                    const std::vector<std::vector<float>>& edges);

struct TokenUse {
  std::int64_t events = 0;    // occurrences in train
  std::int64_t subjects = 0;  // train subjects with one
};

// Merges value bins of too few subjects into their lighter neighbours, drops tokens that too few
// subjects have (except kept codes), numbers what is left.
std::vector<TokenEntry> FinalTokens(const FitInput& input, const std::vector<TokenEntry>& draft,
                                    const std::vector<TokenUse>& use);

}  // namespace sequela
