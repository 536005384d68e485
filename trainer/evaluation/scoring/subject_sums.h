// Sums by subject of whatever evaluation adds up, in fixed point: integers add up to the same bits
// in any order, on any number of ranks.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/base/errors.h"
#include "runtime/communicator.h"
#include "trainer/statistics/bootstrap.h"

namespace sequela {

// A column of SubjectSums. Columns come from SumColumns alone, so that no metric can write into
// another's.
enum class SumColumn : std::size_t {};

// Gives out the columns of one table, one after another.
class SumColumns {
 public:
  SumColumn Next() { return SumColumn{count_++}; }
  std::size_t count() const { return count_; }

 private:
  std::size_t count_ = 0;
};

// One thread at a time.
class SubjectSums {
 public:
  SubjectSums(std::int64_t subjects, std::size_t columns)
      : columns_(columns), sums_(static_cast<std::size_t>(subjects) * columns) {}

  // Whether Add takes `value`: 2^-32 resolves 1e-10 nats and leaves room for 2e9 of them.
  static bool Holds(double value) { return std::abs(value) < kLargest; }

  // Throws InputError where `value` is no finite number: a model that overflows has no score.
  void Add(std::int64_t subject, SumColumn column, double value) {
    if (!Holds(value)) {
      throw InputError(
          "a score of this evaluation is {}, no finite number: the model's weights are finite, but "
          "what it computes from them is not",
          value);
    }
    sums_[Index(subject, column)] += std::llround(value * kScale);
  }
  void AddOverRanks(Communicator& communicator) { communicator.AllReduceSum(sums_); }

  std::int64_t num_subjects() const { return static_cast<std::int64_t>(sums_.size() / columns_); }
  double Of(std::int64_t subject, SumColumn column) const {
    return static_cast<double>(sums_[Index(subject, column)]) / kScale;
  }
  double Total(SumColumn column) const {
    double total = 0.0;
    for (std::int64_t s = 0; s < num_subjects(); ++s) total += Of(s, column);
    return total;
  }
  double Ratio(SumColumn numerator, SumColumn denominator) const {
    return Total(numerator) / Total(denominator);
  }
  std::vector<double> Column(SumColumn column) const {
    std::vector<double> values;
    for (std::int64_t s = 0; s < num_subjects(); ++s) values.push_back(Of(s, column));
    return values;
  }

 private:
  static constexpr double kScale = 0x1.0p32;
  static constexpr double kLargest = 0x1.0p30;

  std::size_t Index(std::int64_t subject, SumColumn column) const {
    return static_cast<std::size_t>(subject) * columns_ + static_cast<std::size_t>(column);
  }

  std::size_t columns_;
  std::vector<std::int64_t> sums_;  // [subjects, columns]
};

}  // namespace sequela
