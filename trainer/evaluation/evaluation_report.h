// What an evaluation found, and its two forms: one JSON document, and tables for people.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/statistics/bootstrap.h"

namespace sequela {

// A mean with its 95 % interval over resampled subjects. All NLL are natural logarithms.
struct Estimate {
  double value = 0.0;
  Interval interval;
};

struct EvaluationReport {
  // Of tokens of one kind, or with so much context before them.
  struct Part {
    std::string name;
    std::int64_t targets = 0;
    double nll_per_token = 0.0;
    double top1 = 0.0;
  };
  struct ContextPart {
    std::int64_t from = 0;  // tokens before the target in its window, head included
    std::int64_t to = 0;    // exclusive
    std::int64_t targets = 0;
    double nll_per_token = 0.0;
  };
  struct Occurrences {
    std::int64_t events = 0;
    double code_nll_per_event = 0.0;
  };
  // Nats per token and per event on the same targets.
  struct Baseline {
    std::string name;  // "unigram", "bigram", "trigram", "copy_last"
    Estimate nll_per_token;
    double nll_per_event = 0.0;
    double code_nll_per_event = 0.0;
  };
  // KL divergence from the truth of "the next stamp begins with it", summed over stamps and divided
  // by subjects: what a prediction pays over the truth in a whole record.
  struct Outcome {
    std::string code;
    std::int64_t stamps = 0;
    double excess = 0.0;
    double age_sex_excess = 0.0;
  };

  std::string run, store, split;
  std::int64_t checkpoint_step = 0;
  std::string checkpoint_choice;  // "best on tuning", "last", "as asked"
  std::int64_t subjects = 0, windows = 0, targets = 0, events = 0;
  Estimate nll_per_token, nll_per_event, top1, top5, top10, code_nll_per_event;
  std::optional<Estimate> uncorrected_nll_per_token;  // where event_balance_alpha is not 1
  std::vector<Part> by_kind;
  std::vector<ContextPart> by_context;
  Occurrences first_occurrences, repeats;
  std::vector<Baseline> baselines;
  double copy_last_top1 = 0.0;
  // Simulated data only.
  std::optional<Estimate> oracle_nll_per_token;
  double oracle_nll_per_event = 0.0;
  Estimate oracle_ratio;        // model / oracle
  Estimate explained_fraction;  // (bigram - model) / (bigram - oracle)
  std::vector<Outcome> outcomes;
  std::string oracle_absence;  // why there is none, where the data is simulated
  double seconds = 0.0;

  const Baseline* FindBaseline(const std::string& name) const;
};

std::string ReportToJson(const EvaluationReport& report);
// Lines of at most 80 columns.
std::string ReportToTable(const EvaluationReport& report);

}  // namespace sequela
