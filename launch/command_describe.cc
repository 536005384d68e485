#include "launch/commands.h"

namespace sequela {

void AddDescribeCommand(CLI::App& program) { program.add_subcommand("describe"); }

}  // namespace sequela
