// One function per command: adds the command with its options, its worked example and its action to
// the program. An action runs inside ParseAndRun (main.cc), which turns exceptions into exit codes.
#pragma once

#include <CLI/CLI.hpp>

namespace sequela {

void AddSimulateCommand(CLI::App& program);
void AddOracleCommand(CLI::App& program);
void AddIngestCommand(CLI::App& program);
void AddIngestCsvCommand(CLI::App& program);
void AddDescribeCommand(CLI::App& program);
void AddInspectCommand(CLI::App& program);
void AddVerifyCommand(CLI::App& program);
void AddTrainCommand(CLI::App& program);
void AddEvaluateCommand(CLI::App& program);

}  // namespace sequela
