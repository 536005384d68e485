#include "launch/commands.h"

namespace sequela {

void AddOracleCommand(CLI::App& program) { program.add_subcommand("oracle"); }

}  // namespace sequela
