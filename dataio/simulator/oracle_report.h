// What `sequela oracle` says of an ingested simulated dataset, gathered over one split.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "dataio/simulator/simulator_oracle.h"
#include "dataio/store/chain_store.h"

namespace sequela {

struct OracleReport {
  struct Kind {
    std::int64_t targets = 0;
    double nll = 0;  // sum, in nats
  };
  struct Outcome {
    std::string code;
    std::int64_t events = 0;     // targets that are it
    double expected_events = 0;  // sum of its true probabilities
    double age_sex_excess = 0;   // sum of BinaryExcess of the age-and-sex-only model
    // Over the sampled subjects that do not have it yet:
    std::int64_t at_risk = 0;
    double mean_risk = 0;
    double mean_risk_standard_error = 0;  // of the simulation, not of the sample of subjects
  };
  struct Context {
    std::int64_t length = 0;
    double share_beyond = 0;  // targets with at least so many tokens before them
  };

  Split split = Split::kHeldOut;
  std::int64_t subjects = 0;
  std::int64_t targets = 0;
  std::int64_t events = 0;  // targets that are events
  double years = 0;         // from each subject's first to last timestamp
  // Sums over targets, in nats: under the truth, and its expectation, the entropies of the
  // distributions that the targets were drawn from.
  double nll = 0;
  double expected = 0;
  double standard_error = 0;  // of nll - expected, over subjects
  std::array<Kind, kNumTokenKinds> by_kind;
  std::vector<Outcome> outcomes;
  std::vector<Context> contexts;
  double horizon_years = 0;
  std::int64_t sampled_subjects = 0;
  std::int64_t futures = 0;

  double nll_per_token() const { return nll / static_cast<double>(targets); }
  double nll_per_event() const { return nll / static_cast<double>(events); }
  std::string ToJson() const;  // docs: keys of `sequela oracle --json`
};

struct OracleReportOptions {
  Split split = Split::kHeldOut;
  int threads = 1;  // changes nothing in the result
  double horizon_years = 5;
  std::int64_t risk_subjects = 20;  // 0: no risks
  std::int64_t futures = 10'000;    // per subject
};

// Throws InputError where the store has no oracle, or no target in the split.
OracleReport MakeOracleReport(const ChainStore& store, const OracleReportOptions& options);

}  // namespace sequela
