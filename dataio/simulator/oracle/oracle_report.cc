#include "dataio/simulator/oracle_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "dataio/base/workers.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

constexpr std::array<std::int64_t, 5> kContextLengths = {128, 256, 512, 1024, 2048};

struct SubjectSums {
  std::array<OracleReport::Kind, kNumTokenKinds> by_kind;
  std::array<std::int64_t, kContextLengths.size()> beyond{};
  std::vector<double> expected_events;  // [outcomes]
  std::vector<double> age_sex_excess;   // [outcomes]
  std::vector<std::int64_t> events;     // [outcomes]
  double expected = 0;
  double years = 0;
};

SubjectSums SumSubject(const ChainStore& store, const SimulatorOracle& oracle,
                       const AgeSexModel& reference, std::int64_t subject) {
  const ChainView chain = store.checked_chain(subject);
  SubjectSums sums;
  std::vector<double> log_probability;
  std::vector<double> entropy;
  oracle.LogProbabilities(chain, &log_probability, &entropy);
  const std::int64_t head = HeadOf(store.vocabulary(), chain).static_end;
  for (std::int64_t i = 0; i < chain.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (std::isnan(log_probability[at])) {
      continue;
    }
    auto& kind = sums.by_kind[static_cast<std::size_t>(store.vocabulary()[chain.token(i)].kind)];
    ++kind.targets;
    kind.nll -= log_probability[at];
    sums.expected += entropy[at];
    for (std::size_t c = 0; c < kContextLengths.size(); ++c) {
      sums.beyond[c] += i >= kContextLengths[c] ? 1 : 0;
    }
  }
  if (chain.size() > head) {
    sums.years =
        static_cast<double>(chain.time_us.back() - chain.time_us[static_cast<std::size_t>(head)]) /
        kMicrosecondsPerYear;
  }
  const LifeState born = oracle.StateBefore(chain, 0);
  SimulatorOracle::OutcomeDistribution distribution;
  oracle.OutcomeProbabilities(chain, &distribution);
  const std::size_t outcomes = oracle.outcomes().size();
  sums.expected_events.assign(outcomes, 0.0);
  sums.age_sex_excess.assign(outcomes, 0.0);
  sums.events.assign(outcomes, 0);
  for (std::size_t p = 0; p < distribution.position.size(); ++p) {
    const std::int64_t at = distribution.position[p];
    const std::int64_t age = chain.time_us[static_cast<std::size_t>(at)] - born.birth_us;
    for (std::size_t k = 0; k < outcomes; ++k) {
      const double truth = distribution.probability[p * outcomes + k];
      sums.expected_events[k] += truth;
      sums.age_sex_excess[k] += BinaryExcess(truth, reference.Probability(born.female, age, k));
      sums.events[k] += chain.token(at) == oracle.outcomes()[k].token ? 1 : 0;
    }
  }
  return sums;
}

void AddSubject(const SubjectSums& sums, OracleReport* report) {
  double difference = -sums.expected;
  report->expected += sums.expected;
  for (std::size_t k = 0; k < sums.by_kind.size(); ++k) {
    const OracleReport::Kind& kind = sums.by_kind[k];
    report->by_kind[k].targets += kind.targets;
    report->by_kind[k].nll += kind.nll;
    report->targets += kind.targets;
    report->events += static_cast<TokenKind>(k) != TokenKind::kGap ? kind.targets : 0;
    report->nll += kind.nll;
    difference += kind.nll;
  }
  report->standard_error += difference * difference;
  report->years += sums.years;
  for (std::size_t k = 0; k < report->outcomes.size(); ++k) {
    report->outcomes[k].events += sums.events[k];
    report->outcomes[k].expected_events += sums.expected_events[k];
    report->outcomes[k].age_sex_excess += sums.age_sex_excess[k];
  }
  for (std::size_t c = 0; c < kContextLengths.size(); ++c) {
    report->contexts[c].share_beyond += static_cast<double>(sums.beyond[c]);
  }
}

// The position after half of the chain's tokens that stands between two timestamps.
std::int64_t MiddleOf(const ChainStore& store, const ChainView& chain) {
  std::int64_t position = chain.size() / 2;
  while (position < chain.size() &&
         store.vocabulary()[chain.token(position)].kind != TokenKind::kGap) {
    ++position;
  }
  return position;
}

// True risks from the middle of the records of the split's first subjects.
void AddRisks(const ChainStore& store, const SimulatorOracle& oracle,
              const OracleReportOptions& options, const std::vector<std::int64_t>& subjects,
              OracleReport* report) {
  std::vector<std::int64_t> sample;
  for (const std::int64_t subject : subjects) {
    const ChainView chain = store.checked_chain(subject);
    if (static_cast<std::int64_t>(sample.size()) < options.risk_subjects &&
        MiddleOf(store, chain) < chain.size()) {
      sample.push_back(subject);
    }
  }
  const LifeProcess& process = oracle.process();
  std::vector<int> anchors;
  for (const auto& outcome : oracle.outcomes()) {
    anchors.push_back(process.FindAnchor(outcome.code));
  }
  std::vector<LifeState> states(sample.size());
  std::vector<std::vector<RiskEstimate>> risks(sample.size());
  RunTasks(options.threads, static_cast<std::int64_t>(sample.size()), [&](int, std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    const ChainView chain = store.checked_chain(sample[at]);
    states[at] = oracle.StateBefore(chain, MiddleOf(store, chain));
    risks[at] = RisksWithin(process, states[at], states[at].now_us,
                            std::llround(options.horizon_years * kMicrosecondsPerYear), anchors,
                            options.futures, static_cast<std::uint64_t>(sample[at]));
  });
  for (std::size_t k = 0; k < anchors.size(); ++k) {
    OracleReport::Outcome& outcome = report->outcomes[k];
    double variance = 0;
    for (std::size_t i = 0; i < sample.size(); ++i) {
      if (!process.AnchorIsOpen(states[i], anchors[k])) {
        continue;
      }
      ++outcome.at_risk;
      outcome.mean_risk += risks[i][k].probability;
      variance += risks[i][k].standard_error * risks[i][k].standard_error;
    }
    const double n = std::max<double>(1.0, static_cast<double>(outcome.at_risk));
    outcome.mean_risk /= n;
    outcome.mean_risk_standard_error = std::sqrt(variance) / n;
  }
  report->sampled_subjects = static_cast<std::int64_t>(sample.size());
}

}  // namespace

OracleReport MakeOracleReport(const ChainStore& store, const OracleReportOptions& options) {
  const SimulatorOracle oracle = SimulatorOracle::ForStore(store);
  const AgeSexModel reference(store, oracle);
  std::vector<std::int64_t> subjects;
  for (std::int64_t s = 0; s < store.num_subjects(); ++s) {
    if (store.split(s) == options.split) {
      subjects.push_back(s);
    }
  }
  OracleReport report;
  report.split = options.split;
  report.subjects = static_cast<std::int64_t>(subjects.size());
  report.horizon_years = options.horizon_years;
  report.futures = options.futures;
  for (const auto& outcome : oracle.outcomes()) {
    report.outcomes.push_back({outcome.code});
  }
  for (const std::int64_t length : kContextLengths) {
    report.contexts.push_back({length});
  }
  std::vector<SubjectSums> sums(subjects.size());
  RunTasks(options.threads, report.subjects, [&](int, std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    sums[at] = SumSubject(store, oracle, reference, subjects[at]);
  });
  for (const SubjectSums& subject : sums) {
    AddSubject(subject, &report);
  }
  if (report.targets == 0) {
    throw InputError(
        "{}: no target token in the split {}; simulate more subjects, or choose another "
        "--split",
        store.folder().string(), NameOf(options.split));
  }
  report.standard_error = std::sqrt(report.standard_error);
  for (OracleReport::Context& context : report.contexts) {
    context.share_beyond /= static_cast<double>(report.targets);
  }
  if (options.risk_subjects > 0) {
    AddRisks(store, oracle, options, subjects, &report);
  }
  return report;
}

std::string OracleReport::ToJson() const {
  const auto tokens = static_cast<double>(targets);
  nlohmann::ordered_json json = {{"split", NameOf(split)},
                                 {"subjects", subjects},
                                 {"targets", targets},
                                 {"events", events},
                                 {"oracle_nll_per_token", nll_per_token()},
                                 {"expected_nll_per_token", expected / tokens},
                                 {"standard_error_per_token", standard_error / tokens},
                                 {"nll_per_event", nll_per_event()},
                                 {"entropy_rate_per_year", expected / years}};
  for (std::size_t k = 0; k < by_kind.size(); ++k) {
    if (by_kind[k].targets > 0) {
      const auto n = static_cast<double>(by_kind[k].targets);
      json["by_kind"][std::string(NameOf(static_cast<TokenKind>(k)))] = {
          {"targets", by_kind[k].targets}, {"nll_per_token", by_kind[k].nll / n}};
    }
  }
  for (const Outcome& outcome : outcomes) {
    json["outcomes"].push_back(
        {{"code", outcome.code},
         {"events", outcome.events},
         {"expected_events", outcome.expected_events},
         {"age_sex_excess_per_event", outcome.age_sex_excess / outcome.expected_events},
         {"at_risk", outcome.at_risk},
         {"mean_risk", outcome.mean_risk},
         {"mean_risk_standard_error", outcome.mean_risk_standard_error}});
  }
  json["risks"] = {
      {"horizon_years", horizon_years}, {"subjects", sampled_subjects}, {"futures", futures}};
  for (const Context& context : contexts) {
    json["contexts"].push_back(
        {{"length", context.length}, {"share_beyond", context.share_beyond}});
  }
  json["position_index_floor"] = nullptr;  // unknown: the oracle knows exact times
  return json.dump(1);
}

}  // namespace sequela
