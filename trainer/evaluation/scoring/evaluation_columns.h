// What an evaluation adds up for every subject: one struct of columns for each subject of the
// report. A new metric is a struct of its own here, or in a module that comes later.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataio/store/vocabulary.h"
#include "trainer/evaluation/ngram.h"
#include "trainer/evaluation/scoring/subject_sums.h"
#include "trainer/evaluation/scoring_pass.h"

namespace sequela {

// Over all targets. NLL are sums of natural logarithms.
struct TargetColumns {
  explicit TargetColumns(SumColumns& all);
  // `is_first`: the event's code is there for the first time in its record.
  void Add(SubjectSums& sums, std::int64_t row, const ScoredTarget& target, bool is_first) const;

  SumColumn targets, nll, uncorrected_nll, top1, top5, top10;
  SumColumn events, code_nll, first_events, first_code_nll;
};

// By the kind of the target's token.
struct KindColumns {
  struct Kind {
    SumColumn targets, nll, top1;
  };
  explicit KindColumns(SumColumns& all);
  void Add(SubjectSums& sums, std::int64_t row, const ScoredTarget& target, TokenKind kind) const;

  std::array<Kind, kNumTokenKinds> kinds;
};

// By how many tokens of the record the model saw: 0, 1, 2-3, 4-7, ..., 2048 and more.
struct ContextColumns {
  static constexpr std::size_t kRanges = 13;
  struct Range {
    SumColumn targets, nll;
  };
  explicit ContextColumns(SumColumns& all);
  void Add(SubjectSums& sums, std::int64_t row, const ScoredTarget& target) const;

  std::array<Range, kRanges> ranges;
};

// Of the n-gram models, over the same targets.
struct BaselineColumns {
  explicit BaselineColumns(SumColumns& all);
  void AddToken(SubjectSums& sums, std::int64_t row, const NgramProbabilities& p,
                bool last_is_right) const;
  void AddCode(SubjectSums& sums, std::int64_t row, const NgramProbabilities& p) const;

  SumColumn targets, copy_last_hits;
  SumColumn unigram_nll, bigram_nll, trigram_nll, copy_last_nll;
  SumColumn code_unigram_nll, code_bigram_nll, code_trigram_nll, code_copy_last_nll;
};

// Of an outcome of the simulated process: timestamps, and the excess of the model and of age and
// sex alone over the truth (outcome_excess.h).
struct OutcomeColumns {
  explicit OutcomeColumns(SumColumns& all)
      : timestamps(all.Next()), excess(all.Next()), age_sex_excess(all.Next()) {}

  SumColumn timestamps, excess, age_sex_excess;
};

struct EvaluationColumns {
  explicit EvaluationColumns(std::size_t outcomes);
  std::size_t count() const { return all.count(); }

  SumColumns all;  // first: it numbers those below
  TargetColumns target;
  KindColumns by_kind;
  ContextColumns by_context;
  BaselineColumns baseline;
  SumColumn oracle_nll;
  std::vector<OutcomeColumns> outcome;
};

}  // namespace sequela
