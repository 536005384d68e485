// The truth of a simulated, ingested dataset: the exact probability of every target token of its
// chains under the process that drew them (simulator_process.h), given the static facts, all tokens
// before it and their exact times.
//
// A target is conditional on there being one: censoring competes with every gap, so the
// distribution of a gap token is that of the next timestamp's time given that it is observed,
//   proportional to  integral over the bin of  lambda(s) exp(-int_0^s (lambda + c)) ds,
// times the probability that no further follow-up joins the present timestamp. After a gap token
// the exact time is known, and an anchor's probability is its share of the hazard then; a value
// token's is the code's times the difference of two cumulative probabilities at the stored bin
// edges. Codes that share a fallback token have the sum of their probabilities; what becomes no
// target ([UNK]) is conditioned away.
//
// Covered: canonical order, joint value tokens, gap tokens, and everything else as ingest has it by
// default. Other settings are refused by name, not approximated.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataio/simulator/simulator_process.h"
#include "dataio/store/chain_store.h"
#include "dataio/store/vocabulary.h"

namespace sequela {

// Immutable; safe for concurrent use.
class SimulatorOracle {
 public:
  // An event whose own distribution is reported: death first, then the onsets.
  struct Outcome {
    std::string code;
    std::int32_t token = 0;
  };
  // The true probabilities that the next token is an outcome's, at every target that begins a
  // timestamp.
  struct OutcomeDistribution {
    std::vector<std::int64_t> position;  // [P] index of the target in its chain, ascending
    std::vector<double> probability;     // [P, outcomes]
  };

  // Whether the store's source was simulated, so that an oracle exists (or says why not).
  static bool Exists(const ChainStore& store) { return store.simulation_json().has_value(); }
  // Borrows `store`. Throws InputError where the source was not simulated or a setting is not
  // covered.
  static SimulatorOracle ForStore(const ChainStore& store);
  // The same from its parts, borrowed: metadata/simulation.json, the manifest's "tokenization".
  SimulatorOracle(const std::string& simulation_json, const std::string& tokenization_json,
                  const Vocabulary& vocabulary, const std::vector<CodeEntry>& codes);
  SimulatorOracle(SimulatorOracle&&) noexcept;
  SimulatorOracle& operator=(SimulatorOracle&&) noexcept;
  ~SimulatorOracle();

  const LifeProcess& process() const;
  const std::vector<Outcome>& outcomes() const;

  // Natural log of the probability of every token of the chain into `out` ([chain.size()]); NaN for
  // tokens that are no targets. Throws InputError where the chain cannot come from the process.
  void LogProbabilities(const ChainView& chain, std::vector<double>* out) const;
  // The same, and the entropy in nats of the distribution that each target is drawn from: the
  // expected NLL.
  void LogProbabilities(const ChainView& chain, std::vector<double>* out,
                        std::vector<double>* entropy) const;
  // The whole distribution of the token at `position`, a target, into `distribution`
  // ([vocabulary]): sums to 1.
  void TokenDistribution(const ChainView& chain, std::int64_t position,
                         std::vector<double>* distribution) const;
  void OutcomeProbabilities(const ChainView& chain, OutcomeDistribution* out) const;

  // The life after the chain's tokens before `position`; after a gap token the timestamp has not
  // begun.
  LifeState StateBefore(const ChainView& chain, std::int64_t position) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// KL divergence in nats of the event "it happens": truth log(truth / model) + the same of the
// complement. The excess that a model pays over the truth. REQUIRES: 0 <= truth <= 1.
double BinaryExcess(double truth, double model);

// What is known without history: P(outcome | age band of 5 years, sex) where a timestamp begins,
// fitted on the train split. A cell's estimate leans on the overall rate r with the weight of 20
// observations: (n_cell + 20 r) / (N_cell + 20). The reference that excess over the truth is held
// against.
class AgeSexModel {
 public:
  AgeSexModel(const ChainStore& store, const SimulatorOracle& oracle);
  // P(the token at `time_us` is the outcome's), by the outcome's index in oracle.outcomes().
  double Probability(bool female, std::int64_t age_us, std::size_t outcome) const;

 private:
  std::size_t Cell(bool female, std::int64_t age_us) const;
  std::size_t num_outcomes_ = 0;
  std::vector<double> probability_;  // [cells, outcomes]
};

struct RiskEstimate {
  double probability = 0;
  double standard_error = 0;
};
// True risks that each of `outcomes` (anchors) happens within `horizon_us` after `start_us`,
// nothing having been recorded since state.now_us and without censoring: the mean of `futures`
// simulated futures. A function of the arguments alone. REQUIRES: start_us >= state.now_us.
std::vector<RiskEstimate> RisksWithin(const LifeProcess& process, const LifeState& state,
                                      std::int64_t start_us, std::int64_t horizon_us,
                                      const std::vector<int>& outcomes, std::int64_t futures,
                                      std::uint64_t seed);

}  // namespace sequela
