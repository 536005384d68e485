// From sums by subject to the figures of a report, with their intervals.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/evaluation/evaluation_report.h"
#include "trainer/evaluation/scoring/evaluation_columns.h"

namespace sequela {

// The sums of all ranks, and what they were made with. Borrows.
struct EvaluationSums {
  const EvaluationColumns& columns;
  const SubjectSums& sums;
};

// Targets, events, NLL and ranks of the model, and the baselines beside it. `corrected`: the model
// was trained with class weights.
void FillComparisons(const EvaluationSums& evaluation, bool corrected, EvaluationReport& report);
// By kind of token, by context, and first occurrences apart from repeats.
void FillParts(const EvaluationSums& evaluation, std::int64_t context_length,
               EvaluationReport& report);
// Beside the truth of simulated records. `outcome_codes`: as the outcome columns. REQUIRES:
// report.subjects is set.
void FillTruth(const EvaluationSums& evaluation, const std::vector<std::string>& outcome_codes,
               EvaluationReport& report);

}  // namespace sequela
