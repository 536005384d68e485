#include <fmt/format.h>

#include <memory>

#include "dataio/simulator/oracle_report.h"
#include "kernels/base/available_cpus.h"
#include "kernels/base/path_names.h"
#include "launch/commands.h"

namespace sequela {
namespace {

struct OracleArguments {
  std::string store;
  std::string split = "held_out";
  bool json = false;
  OracleReportOptions options;
};

void PrintLikelihood(const OracleReport& report) {
  fmt::print("NLL of the truth, in nats\n  {:<22}{:>12}{:>14}{:>14}\n", "", "targets", "found",
             "expected");
  for (std::size_t k = 0; k < report.by_kind.size(); ++k) {
    const OracleReport::Kind& kind = report.by_kind[k];
    if (kind.targets > 0) {
      fmt::print("  {:<22}{:>12}{:>14.4f}\n", NameOf(static_cast<TokenKind>(k)), kind.targets,
                 kind.nll / static_cast<double>(kind.targets));
    }
  }
  fmt::print("  {:<22}{:>12}{:>14.4f}{:>14.4f}\n", "per token", report.targets,
             report.nll_per_token(), report.expected / static_cast<double>(report.targets));
  fmt::print("  {:<22}{:>12}{:>14.4f}{:>14.4f}\n", "per event", report.events,
             report.nll_per_event(), report.expected / static_cast<double>(report.events));
  fmt::print("  found - expected: {:+.2f} standard errors; entropy rate {:.2f} nats a year\n\n",
             (report.nll - report.expected) / report.standard_error,
             report.expected / report.years);
}

void PrintOutcomes(const OracleReport& report) {
  fmt::print(
      "Outcomes: events, excess of an age-and-sex-only model over the truth, and\n"
      "true risk in {:g} years from the middle of {} records ({} futures each)\n",
      report.horizon_years, report.sampled_subjects, report.futures);
  fmt::print("  {:<28}{:>8}{:>10}{:>13}{:>9}{:>9}\n", "", "events", "expected", "excess/event",
             "risk", "error");
  for (const OracleReport::Outcome& outcome : report.outcomes) {
    fmt::print("  {:<28}{:>8}{:>10.1f}{:>13.3f}", outcome.code, outcome.events,
               outcome.expected_events, outcome.age_sex_excess / outcome.expected_events);
    if (outcome.at_risk > 0) {
      fmt::print("{:>9.4f}{:>9.4f}", outcome.mean_risk, outcome.mean_risk_standard_error);
    }
    fmt::print("\n");
  }
  fmt::print("\n");
}

void PrintContexts(const OracleReport& report) {
  fmt::print("Targets with more history than a context holds\n");
  for (const OracleReport::Context& context : report.contexts) {
    fmt::print("  {:>6} tokens {:>8.2f} %\n", context.length, 100 * context.share_beyond);
  }
}

void Oracle(OracleArguments arguments) {
  arguments.options.split = ParseSplit(arguments.split);
  arguments.options.threads = AvailableCpus();
  const ChainStore store = ChainStore::Open(arguments.store);
  const OracleReport report = MakeOracleReport(store, arguments.options);
  if (arguments.json) {
    fmt::print("{}\n", report.ToJson());
    return;
  }
  fmt::print("{}: {} subjects of {}\n\n", arguments.store, report.subjects, arguments.split);
  PrintLikelihood(report);
  PrintOutcomes(report);
  PrintContexts(report);
}

}  // namespace

void AddOracleCommand(CLI::App& program) {
  auto arguments = std::make_shared<OracleArguments>();
  CLI::App* command = program.add_subcommand(
      "oracle", "Compute the true NLL and risks of an ingested simulated dataset");
  command->add_option("STORE", arguments->store, "A chain store of `sequela simulate`'s data")
      ->transform(ExpandHome)
      ->required();
  command->add_option("--split", arguments->split, "train, tuning or held_out")
      ->capture_default_str();
  command
      ->add_option("--risk-subjects", arguments->options.risk_subjects,
                   "Subjects whose true risks are computed; 0: none")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--futures", arguments->options.futures, "Simulated futures per subject")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--horizon-years", arguments->options.horizon_years, "Of the risks")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "One JSON document on standard output");
  command->footer("Example:\n  sequela oracle store --split held_out");
  command->callback([arguments] { Oracle(*arguments); });
}

}  // namespace sequela
