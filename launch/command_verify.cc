#include "launch/commands.h"

namespace sequela {

void AddVerifyCommand(CLI::App& program) { program.add_subcommand("verify"); }

}  // namespace sequela
