#include "launch/commands.h"

namespace sequela {

void AddInspectCommand(CLI::App& program) { program.add_subcommand("inspect"); }

}  // namespace sequela
