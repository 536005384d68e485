#include "launch/commands.h"

namespace sequela {

void AddTrainCommand(CLI::App& program) { program.add_subcommand("train"); }

}  // namespace sequela
