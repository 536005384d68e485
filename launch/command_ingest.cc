#include "launch/commands.h"

namespace sequela {

void AddIngestCommand(CLI::App& program) { program.add_subcommand("ingest"); }

}  // namespace sequela
