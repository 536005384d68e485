#include "launch/commands.h"

namespace sequela {

void AddSimulateCommand(CLI::App& program) { program.add_subcommand("simulate"); }

}  // namespace sequela
