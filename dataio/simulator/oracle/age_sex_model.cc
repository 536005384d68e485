#include <algorithm>

#include "dataio/simulator/simulator_oracle.h"

namespace sequela {
namespace {

constexpr std::size_t kAgeBands = 22;
constexpr double kAgeBandYears = 5;
constexpr double kWeightOfOverallRate = 20;

}  // namespace

std::size_t AgeSexModel::Cell(bool female, std::int64_t age_us) const {
  const double band = static_cast<double>(age_us) / (kAgeBandYears * kMicrosecondsPerYear);
  const auto bounded = static_cast<std::size_t>(std::clamp(band, 0.0, kAgeBands - 1.0));
  return bounded * 2 + (female ? 1 : 0);
}

AgeSexModel::AgeSexModel(const ChainStore& store, const SimulatorOracle& oracle)
    : num_outcomes_(oracle.outcomes().size()) {
  std::vector<double> seen(2 * kAgeBands, 0.0);
  std::vector<double> happened(2 * kAgeBands * num_outcomes_, 0.0);
  std::vector<double> overall(num_outcomes_, 0.0);
  double all = 0;
  SimulatorOracle::OutcomeDistribution distribution;
  for (std::int64_t s = 0; s < store.num_subjects(); ++s) {
    if (store.split(s) != Split::kTrain) {
      continue;
    }
    const ChainView chain = store.checked_chain(s);
    const LifeState born = oracle.StateBefore(chain, 0);
    oracle.OutcomeProbabilities(chain, &distribution);
    for (const std::int64_t position : distribution.position) {
      const std::int64_t age = chain.time_us[static_cast<std::size_t>(position)] - born.birth_us;
      const std::size_t cell = Cell(born.female, age);
      seen[cell] += 1;
      all += 1;
      for (std::size_t k = 0; k < num_outcomes_; ++k) {
        const bool hit = chain.token(position) == oracle.outcomes()[k].token;
        happened[cell * num_outcomes_ + k] += hit ? 1 : 0;
        overall[k] += hit ? 1 : 0;
      }
    }
  }
  probability_.resize(happened.size());
  for (std::size_t i = 0; i < happened.size(); ++i) {
    // Half an observation keeps an outcome that train never saw possible.
    const double rate = (overall[i % num_outcomes_] + 0.5) / (all + 1);
    probability_[i] = (happened[i] + kWeightOfOverallRate * rate) /
                      (seen[i / num_outcomes_] + kWeightOfOverallRate);
  }
}

double AgeSexModel::Probability(bool female, std::int64_t age_us, std::size_t outcome) const {
  return probability_[Cell(female, age_us) * num_outcomes_ + outcome];
}

}  // namespace sequela
