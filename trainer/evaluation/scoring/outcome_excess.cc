#include "trainer/evaluation/scoring/outcome_excess.h"

#include <algorithm>
#include <cmath>

namespace sequela {

void OutcomeExcess::LookUp(std::int64_t subject) {
  if (subject == subject_) return;
  subject_ = subject;
  const ChainView chain = store_.checked_chain(subject);
  oracle_.OutcomeProbabilities(chain, &distribution_);
  if (distribution_.position.empty()) return;
  const LifeState state = oracle_.StateBefore(chain, distribution_.position.front());
  female_ = state.female;
  birth_us_ = state.birth_us;
}

std::vector<double> OutcomeExcess::ModelProbabilities(std::span<const float> logits,
                                                      std::span<const float> log_weights) const {
  const auto corrected = [&](std::size_t v) {
    return static_cast<double>(logits[v]) -
           (log_weights.empty() ? 0.0 : static_cast<double>(log_weights[v]));
  };
  double largest = corrected(0);
  for (std::size_t v = 1; v < logits.size(); ++v) largest = std::max(largest, corrected(v));
  double sum = 0.0;
  for (std::size_t v = 0; v < logits.size(); ++v) sum += std::exp(corrected(v) - largest);
  std::vector<double> probabilities;
  for (const SimulatorOracle::Outcome& outcome : oracle_.outcomes()) {
    const auto token = static_cast<std::size_t>(outcome.token);
    // Of a model that is all but certain: the excess stays finite.
    probabilities.push_back(
        std::clamp(std::exp(corrected(token) - largest) / sum, 0x1.0p-1000, 1.0 - 0x1.0p-53));
  }
  return probabilities;
}

void OutcomeExcess::Add(const EvaluationBatch& input, std::span<const float> logits_TV,
                        std::span<const float> log_weights,
                        std::span<const std::int64_t> row_of_subject,
                        std::span<const OutcomeColumns> columns, SubjectSums& sums) {
  const std::size_t outcomes = oracle_.outcomes().size();
  const std::size_t vocabulary = logits_TV.size() / input.batch.token.size();
  for (std::size_t d = 0; d < input.subject.size(); ++d) {
    LookUp(input.subject[d]);
    const std::int64_t row = row_of_subject[static_cast<std::size_t>(input.subject[d])];
    const auto end = static_cast<std::size_t>(input.batch.document_begin[d + 1]);
    for (auto t = static_cast<std::size_t>(input.batch.document_begin[d]); t < end; ++t) {
      const auto found = std::ranges::lower_bound(distribution_.position, input.chain_index[t]);
      if (input.chain_index[t] < 0 || found == distribution_.position.end() ||
          *found != input.chain_index[t]) {
        continue;
      }
      const auto timestamp = static_cast<std::size_t>(found - distribution_.position.begin());
      const std::vector<double> model =
          ModelProbabilities(logits_TV.subspan(t * vocabulary, vocabulary), log_weights);
      const std::int64_t age_us =
          store_.chain(subject_).time_us[static_cast<std::size_t>(*found)] - birth_us_;
      for (std::size_t o = 0; o < outcomes; ++o) {
        const double truth = distribution_.probability[timestamp * outcomes + o];
        sums.Add(row, columns[o].timestamps, 1.0);
        sums.Add(row, columns[o].excess, BinaryExcess(truth, model[o]));
        sums.Add(row, columns[o].age_sex_excess,
                 BinaryExcess(truth, age_sex_.Probability(female_, age_us, o)));
      }
    }
  }
}

}  // namespace sequela
