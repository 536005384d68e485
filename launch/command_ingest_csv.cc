#include "launch/commands.h"

namespace sequela {

void AddIngestCsvCommand(CLI::App& program) { program.add_subcommand("ingest-csv"); }

}  // namespace sequela
