#include "trainer/evaluation/scoring/fill_report.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace sequela {
namespace {

constexpr std::uint64_t kBootstrapSeed = 1;

Estimate EstimateOf(const SubjectSums& sums, SumColumn numerator, SumColumn denominator) {
  const RatioSums ratio{sums.Column(numerator), sums.Column(denominator)};
  return {sums.Ratio(numerator, denominator),
          BootstrapIntervals(std::span(&ratio, 1), kBootstrapSeed)[0]};
}

void FillBaselines(const EvaluationSums& evaluation, EvaluationReport& report) {
  const auto& [columns, sums] = evaluation;
  const BaselineColumns& baseline = columns.baseline;
  const struct {
    const char* name;
    SumColumn nll, code_nll;
  } models[] = {{"unigram", baseline.unigram_nll, baseline.code_unigram_nll},
                {"copy_last", baseline.copy_last_nll, baseline.code_copy_last_nll},
                {"bigram", baseline.bigram_nll, baseline.code_bigram_nll},
                {"trigram", baseline.trigram_nll, baseline.code_trigram_nll}};
  for (const auto& model : models) {
    report.baselines.push_back({model.name, EstimateOf(sums, model.nll, columns.target.targets),
                                sums.Ratio(model.nll, columns.target.events),
                                sums.Ratio(model.code_nll, columns.target.events)});
  }
  report.copy_last_top1 = sums.Ratio(baseline.copy_last_hits, columns.target.targets);
}

// bigram - model and bigram - oracle, by subject.
RatioSums ExplainedSums(const EvaluationSums& evaluation) {
  const auto& [columns, sums] = evaluation;
  RatioSums ratio;
  for (std::int64_t s = 0; s < sums.num_subjects(); ++s) {
    const double bigram = sums.Of(s, columns.baseline.bigram_nll);
    ratio.numerator.push_back(bigram - sums.Of(s, columns.target.nll));
    ratio.denominator.push_back(bigram - sums.Of(s, columns.oracle_nll));
  }
  return ratio;
}

void FillOccurrences(const EvaluationSums& evaluation, EvaluationReport& report) {
  const TargetColumns& target = evaluation.columns.target;
  const SubjectSums& sums = evaluation.sums;
  const double events = sums.Total(target.events);
  const double first = sums.Total(target.first_events);
  const double first_nll = sums.Total(target.first_code_nll);
  report.first_occurrences = {std::llround(first), first_nll / first};
  report.repeats = {std::llround(events - first),
                    (sums.Total(target.code_nll) - first_nll) / (events - first)};
}

}  // namespace

void FillComparisons(const EvaluationSums& evaluation, bool corrected, EvaluationReport& report) {
  const TargetColumns& target = evaluation.columns.target;
  const SubjectSums& sums = evaluation.sums;
  report.targets = std::llround(sums.Total(target.targets));
  report.events = std::llround(sums.Total(target.events));
  report.nll_per_token = EstimateOf(sums, target.nll, target.targets);
  report.nll_per_event = EstimateOf(sums, target.nll, target.events);
  report.top1 = EstimateOf(sums, target.top1, target.targets);
  report.top5 = EstimateOf(sums, target.top5, target.targets);
  report.top10 = EstimateOf(sums, target.top10, target.targets);
  report.code_nll_per_event = EstimateOf(sums, target.code_nll, target.events);
  if (corrected) {
    report.uncorrected_nll_per_token = EstimateOf(sums, target.uncorrected_nll, target.targets);
  }
  FillBaselines(evaluation, report);
}

void FillParts(const EvaluationSums& evaluation, std::int64_t context_length,
               EvaluationReport& report) {
  const auto& [columns, sums] = evaluation;
  for (std::size_t k = 0; k < columns.by_kind.kinds.size(); ++k) {
    const KindColumns::Kind& kind = columns.by_kind.kinds[k];
    const double targets = sums.Total(kind.targets);
    if (targets == 0) continue;
    report.by_kind.push_back({std::string(NameOf(static_cast<TokenKind>(k))), std::llround(targets),
                              sums.Ratio(kind.nll, kind.targets),
                              sums.Ratio(kind.top1, kind.targets)});
  }
  constexpr std::size_t kRanges = ContextColumns::kRanges;
  for (std::size_t r = 0; r < kRanges; ++r) {
    const ContextColumns::Range& range = columns.by_context.ranges[r];
    const double targets = sums.Total(range.targets);
    if (targets == 0) continue;
    const std::int64_t from = r == 0 ? 0 : std::int64_t{1} << (r - 1);
    const std::int64_t to = r + 1 == kRanges ? context_length : std::int64_t{1} << r;
    report.by_context.push_back({from, std::max(to, from + 1), std::llround(targets),
                                 sums.Ratio(range.nll, range.targets)});
  }
  FillOccurrences(evaluation, report);
}

void FillTruth(const EvaluationSums& evaluation, const std::vector<std::string>& outcome_codes,
               EvaluationReport& report) {
  const auto& [columns, sums] = evaluation;
  report.oracle_nll_per_token = EstimateOf(sums, columns.oracle_nll, columns.target.targets);
  report.oracle_nll_per_event = sums.Ratio(columns.oracle_nll, columns.target.events);
  report.oracle_ratio = EstimateOf(sums, columns.target.nll, columns.oracle_nll);
  const double bigram = sums.Total(columns.baseline.bigram_nll);
  const RatioSums explained = ExplainedSums(evaluation);
  report.explained_fraction = {
      (bigram - sums.Total(columns.target.nll)) / (bigram - sums.Total(columns.oracle_nll)),
      BootstrapIntervals(std::span(&explained, 1), kBootstrapSeed)[0]};
  const auto subjects = static_cast<double>(report.subjects);
  for (std::size_t o = 0; o < outcome_codes.size(); ++o) {
    const OutcomeColumns& outcome = columns.outcome[o];
    report.outcomes.push_back({outcome_codes[o], std::llround(sums.Total(outcome.timestamps)),
                               sums.Total(outcome.excess) / subjects,
                               sums.Total(outcome.age_sex_excess) / subjects});
  }
}

}  // namespace sequela
