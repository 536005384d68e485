// How much the model's probability of death and of each onset differs from the truth, where a
// timestamp begins, beside what is known from age and sex alone. Simulated data only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataio/loader/evaluation_windows.h"
#include "dataio/simulator/simulator_oracle.h"
#include "dataio/store/chain_store.h"
#include "trainer/evaluation/scoring/subject_sums.h"

namespace sequela {

// One thread at a time. Borrows store and oracle.
class OutcomeExcess {
 public:
  OutcomeExcess(const ChainStore& store, const SimulatorOracle& oracle)
      : store_(store), oracle_(oracle), age_sex_(store, oracle) {}

  // Adds one batch's excess. `logits_TV` are those of the batch; log_weights [V] or empty are taken
  // off them; row_of_subject [store's subjects] gives each subject's row in `sums`.
  void Add(const EvaluationBatch& input, std::span<const float> logits_TV,
           std::span<const float> log_weights, std::span<const std::int64_t> row_of_subject,
           SubjectSums& sums);

 private:
  void LookUp(std::int64_t subject);
  std::vector<double> ModelProbabilities(std::span<const float> logits,
                                         std::span<const float> log_weights) const;

  const ChainStore& store_;
  const SimulatorOracle& oracle_;
  AgeSexModel age_sex_;
  std::int64_t subject_ = -1;  // whose truth is below
  SimulatorOracle::OutcomeDistribution distribution_;
  bool female_ = false;
  std::int64_t birth_us_ = 0;
};

}  // namespace sequela
