#include "trainer/evaluation/scoring/evaluation_columns.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sequela {

TargetColumns::TargetColumns(SumColumns& all)
    : targets(all.Next()),
      nll(all.Next()),
      uncorrected_nll(all.Next()),
      top1(all.Next()),
      top5(all.Next()),
      top10(all.Next()),
      events(all.Next()),
      code_nll(all.Next()),
      first_events(all.Next()),
      first_code_nll(all.Next()) {}

void TargetColumns::Add(SubjectSums& sums, std::int64_t row, const ScoredTarget& target,
                        bool is_first) const {
  sums.Add(row, targets, 1.0);
  sums.Add(row, nll, target.nll);
  sums.Add(row, uncorrected_nll, target.uncorrected_nll);
  sums.Add(row, top1, target.target_rank < 1 ? 1.0 : 0.0);
  sums.Add(row, top5, target.target_rank < 5 ? 1.0 : 0.0);
  sums.Add(row, top10, target.target_rank < 10 ? 1.0 : 0.0);
  if (!target.is_event()) return;
  sums.Add(row, events, 1.0);
  sums.Add(row, code_nll, target.group_nll);
  if (!is_first) return;
  sums.Add(row, first_events, 1.0);
  sums.Add(row, first_code_nll, target.group_nll);
}

KindColumns::KindColumns(SumColumns& all) {
  for (Kind& kind : kinds) kind = {all.Next(), all.Next(), all.Next()};
}

void KindColumns::Add(SubjectSums& sums, std::int64_t row, const ScoredTarget& target,
                      TokenKind kind) const {
  const Kind& columns = kinds[static_cast<std::size_t>(kind)];
  sums.Add(row, columns.targets, 1.0);
  sums.Add(row, columns.nll, target.nll);
  sums.Add(row, columns.top1, target.target_rank < 1 ? 1.0 : 0.0);
}

ContextColumns::ContextColumns(SumColumns& all) {
  for (Range& range : ranges) range = {all.Next(), all.Next()};
}

void ContextColumns::Add(SubjectSums& sums, std::int64_t row, const ScoredTarget& target) const {
  const int width = std::bit_width(static_cast<std::uint64_t>(target.context_tokens));
  const Range& columns =
      ranges[std::min<std::size_t>(static_cast<std::size_t>(width), kRanges - 1)];
  sums.Add(row, columns.targets, 1.0);
  sums.Add(row, columns.nll, target.nll);
}

BaselineColumns::BaselineColumns(SumColumns& all)
    : targets(all.Next()),
      copy_last_hits(all.Next()),
      unigram_nll(all.Next()),
      bigram_nll(all.Next()),
      trigram_nll(all.Next()),
      copy_last_nll(all.Next()),
      code_unigram_nll(all.Next()),
      code_bigram_nll(all.Next()),
      code_trigram_nll(all.Next()),
      code_copy_last_nll(all.Next()) {}

void BaselineColumns::AddToken(SubjectSums& sums, std::int64_t row, const NgramProbabilities& p,
                               bool last_is_right) const {
  sums.Add(row, targets, 1.0);
  sums.Add(row, copy_last_hits, last_is_right ? 1.0 : 0.0);
  sums.Add(row, unigram_nll, -std::log(p.unigram));
  sums.Add(row, bigram_nll, -std::log(p.bigram));
  sums.Add(row, trigram_nll, -std::log(p.trigram));
  sums.Add(row, copy_last_nll, -std::log(p.copy_last));
}

void BaselineColumns::AddCode(SubjectSums& sums, std::int64_t row,
                              const NgramProbabilities& p) const {
  sums.Add(row, code_unigram_nll, -std::log(p.unigram));
  sums.Add(row, code_bigram_nll, -std::log(p.bigram));
  sums.Add(row, code_trigram_nll, -std::log(p.trigram));
  sums.Add(row, code_copy_last_nll, -std::log(p.copy_last));
}

EvaluationColumns::EvaluationColumns(std::size_t outcomes)
    : target(all), by_kind(all), by_context(all), baseline(all), oracle_nll(all.Next()) {
  for (std::size_t o = 0; o < outcomes; ++o) outcome.emplace_back(all);
}

}  // namespace sequela
