// sequela train
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"
#include "launch/commands.h"
#include "launch/start_world.h"
#include "launch/version.h"
#include "runtime/log.h"
#include "runtime/stop_signal.h"
#include "trainer/experiment/experiment_fields.h"
#include "trainer/experiment/experiment_yaml.h"
#include "trainer/training/train_loop.h"

namespace sequela {
namespace {

struct TrainArguments {
  std::string file;
  std::vector<std::string> overrides;
  std::string init_from;
  bool dry_run = false;
  bool print_config = false;
  bool document_fields = false;
};

void RunTrain(const TrainArguments& arguments) {
  if (arguments.document_fields) {
    fmt::print("{}", ExperimentFieldsPage());
    return;
  }
  if (arguments.file.empty()) {
    throw InputError("which experiment? sequela train EXPERIMENT.yaml (configs/ holds some)");
  }
  if (arguments.print_config) {
    fmt::print("{}", ExperimentToYaml(LoadExperiment(arguments.file, arguments.overrides)));
    return;
  }
  // A stop request that comes while the ranks find each other is served by the training.
  if (!arguments.dry_run) TakeStopSignals(OnStopSignal::kNote);
  World& world = StartWorld();
  const Experiment experiment = LoadExperiment(arguments.file, arguments.overrides);
  LogInfo("{}", BuildLine());
  LogInfo("{}", LibrariesLine());
  LogInfo("{}", MachineLine());
  Train(experiment, {.dry_run = arguments.dry_run, .init_from = arguments.init_from}, world);
}

}  // namespace

void AddTrainCommand(CLI::App& program) {
  auto arguments = std::make_shared<TrainArguments>();
  CLI::App* command = program.add_subcommand("train", "Train a model; resumes by itself");
  command->add_option("EXPERIMENT", arguments->file, "experiment file (docs/experiment-fields.md)")
      ->transform(ExpandHome);
  command->add_option("OVERRIDES", arguments->overrides, "key.path=value, over the file's fields");
  command
      ->add_option("--init-from", arguments->init_from,
                   "start from the weights of this run or checkpoint")
      ->transform(ExpandHome)
      ->type_name("RUN");
  command->add_flag("--dry-run", arguments->dry_run,
                    "say what would be trained and the memory it takes; write nothing");
  command->add_flag("--print-config", arguments->print_config,
                    "print the experiment with every field resolved, and end");
  command->add_flag("--document-fields", arguments->document_fields,
                    "print docs/experiment-fields.md, and end");
  command->footer(
      "Example: train on two ranks of this machine, again after any interruption\n"
      "  launch/mpirun.sh 2 sequela train configs/quickstart.yaml run.folder=my-run");
  command->callback([arguments] { RunTrain(*arguments); });
}

}  // namespace sequela
