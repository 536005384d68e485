#include <fmt/format.h>

#include <memory>

#include "dataio/simulator/simulator.h"
#include "kernels/base/available_cpus.h"
#include "kernels/base/path_names.h"
#include "launch/commands.h"
#include "runtime/log.h"

namespace sequela {
namespace {

struct SimulateArguments {
  std::string folder;
  SimulationOptions options;
};

void Simulate(SimulateArguments arguments) {
  arguments.options.threads = AvailableCpus();
  arguments.options.note = [](const std::string& text) { LogInfo("{}", text); };
  const SimulationSummary summary =
      WriteSimulation(arguments.folder, ProcessParameters::Defaults(), arguments.options);
  fmt::print("{}: a simulated MEDS dataset\n", arguments.folder);
  fmt::print("  subjects {:>12}\n  events   {:>12}\n  deaths   {:>12}\n", summary.subjects,
             summary.events, summary.deaths);
  fmt::print("next: sequela ingest {} --out STORE\n", arguments.folder);
}

}  // namespace

void AddSimulateCommand(CLI::App& program) {
  auto arguments = std::make_shared<SimulateArguments>();
  CLI::App* command = program.add_subcommand(
      "simulate", "Write a synthetic MEDS dataset whose true event process is known");
  command->add_option("OUT", arguments->folder, "The dataset's folder; must not exist")
      ->transform(ExpandHome)
      ->required();
  command->add_option("--subjects", arguments->options.subjects, "Number of lives")
      ->required()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  command->add_option("--seed", arguments->options.seed, "Any two seeds give independent data")
      ->required();
  command
      ->add_option("--shards", arguments->options.shards,
                   "Files per split; changes nothing in the data")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command
      ->add_option("--corruption,--unkind", arguments->options.corruptions,
                   fmt::format("What real records do, one or several of {}; the oracle covers none",
                               fmt::join(CorruptionOptions(), ", ")))
      ->delimiter(',')
      ->allow_extra_args(false);
  command->footer("Example:\n  sequela simulate lives --subjects 6000 --seed 1");
  command->callback([arguments] { Simulate(*arguments); });
}

}  // namespace sequela
