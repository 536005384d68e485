// Sums by subject of whatever evaluation adds up, in fixed point: integers add up to the same bits
// in any order, on any number of ranks.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "runtime/communicator.h"
#include "trainer/statistics/bootstrap.h"

namespace sequela {

// What is summed. NLL are natural logarithms of single targets.
enum SumColumn : std::size_t {
  kTargets,
  kNll,
  kUncorrectedNll,
  kTop1,
  kTop5,
  kTop10,
  kEvents,
  kCodeNll,
  kFirstEvents,
  kFirstCodeNll,
  kUnigramNll,
  kBigramNll,
  kTrigramNll,
  kCopyLastNll,
  kCopyLastHits,
  kCodeUnigramNll,
  kCodeBigramNll,
  kCodeTrigramNll,
  kCodeCopyLastNll,
  kBaselineTargets,
  kOracleNll,
  kKindColumns,                           // targets, nll, top-1 of each kind
  kContextColumns = kKindColumns + 18,    // targets, nll of each range of context
  kOutcomeColumns = kContextColumns + 26  // timestamps, excess, age-and-sex excess of each outcome
};
inline constexpr std::size_t kContextRanges = 13;  // 0, 1, 2-3, 4-7, ..., 2048 and more

// One thread at a time.
class SubjectSums {
 public:
  SubjectSums(std::int64_t subjects, std::size_t outcomes)
      : columns_(kOutcomeColumns + 3 * outcomes),
        sums_(static_cast<std::size_t>(subjects) * columns_) {}

  // Throws InputError where `value` is no finite number: a model that overflows has no score.
  void Add(std::int64_t subject, std::size_t column, double value) {
    // 2^-32 resolves 1e-10 nats and leaves room for 2e9 of them.
    if (!(std::abs(value) < kLargest)) {
      throw InputError(
          "a score of this evaluation is {}, no finite number: the model's weights are finite, but "
          "what it computes from them is not",
          value);
    }
    sums_[static_cast<std::size_t>(subject) * columns_ + column] += std::llround(value * kScale);
  }
  void AddOverRanks(Communicator& communicator) { communicator.AllReduceSum(sums_); }

  std::int64_t num_subjects() const { return static_cast<std::int64_t>(sums_.size() / columns_); }
  double Of(std::int64_t subject, std::size_t column) const {
    return static_cast<double>(sums_[static_cast<std::size_t>(subject) * columns_ + column]) /
           kScale;
  }
  double Total(std::size_t column) const {
    double total = 0.0;
    for (std::int64_t s = 0; s < num_subjects(); ++s) total += Of(s, column);
    return total;
  }
  double Ratio(std::size_t numerator, std::size_t denominator) const {
    return Total(numerator) / Total(denominator);
  }
  std::vector<double> Column(std::size_t column) const {
    std::vector<double> values;
    for (std::int64_t s = 0; s < num_subjects(); ++s) values.push_back(Of(s, column));
    return values;
  }

 private:
  static constexpr double kScale = 0x1.0p32;
  static constexpr double kLargest = 0x1.0p30;
  std::size_t columns_;
  std::vector<std::int64_t> sums_;  // [subjects, columns]
};

}  // namespace sequela
