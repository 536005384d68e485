#include "launch/commands.h"

namespace sequela {

void AddEvaluateCommand(CLI::App& program) { program.add_subcommand("evaluate"); }

}  // namespace sequela
