// sequela evaluate
#include <fmt/format.h>

#include <memory>
#include <string>

#include "kernels/base/path_names.h"
#include "launch/commands.h"
#include "launch/start_world.h"
#include "trainer/evaluation/evaluate.h"

namespace sequela {
namespace {

struct EvaluateArguments {
  std::string run;
  std::string split = "held_out";
  std::string store;
  std::int64_t step = -1;
  bool newest = false;
  bool json = false;
};

void RunEvaluate(const EvaluateArguments& arguments) {
  World& world = StartWorld();
  EvaluationRequest request;
  request.split = ParseSplit(arguments.split);
  request.store = arguments.store;
  request.newest = arguments.newest;
  if (arguments.step >= 0) request.step = arguments.step;
  const EvaluationReport report = Evaluate(OpenRun(arguments.run), request, world);
  if (world.rank() != 0) return;
  fmt::print("{}", arguments.json ? ReportToJson(report) : ReportToTable(report));
}

}  // namespace

void AddEvaluateCommand(CLI::App& program) {
  auto arguments = std::make_shared<EvaluateArguments>();
  CLI::App* command =
      program.add_subcommand("evaluate", "Compare a trained model with baselines and the truth");
  command->add_option("RUN", arguments->run, "folder of the run")
      ->transform(ExpandHome)
      ->required();
  command->add_option("--split", arguments->split, "train, tuning or held_out")
      ->capture_default_str();
  command
      ->add_option("--store", arguments->store,
                   "another chain store of the same vocabulary (default: the run's own)")
      ->transform(ExpandHome);
  command->add_option("--step", arguments->step,
                      "the checkpoint of this step (default: the best on tuning)");
  command->add_flag("--newest", arguments->newest, "the newest checkpoint, not the best");
  command->add_flag("--json", arguments->json, "one JSON document instead of tables");
  command->footer(
      "Example: the held-out split of a finished run, as tables\n"
      "  sequela evaluate my-run");
  command->callback([arguments] { RunEvaluate(*arguments); });
}

}  // namespace sequela
