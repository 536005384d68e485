// The program `sequela`: finds its peers, parses the command line, runs one command, and turns what
// was thrown into one message and an exit code (kernels/base/errors.h). On several ranks a failure
// ends the whole job.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>
#include <sstream>
#include <string>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "launch/commands.h"
#include "launch/version.h"
#include "runtime/log.h"
#include "runtime/world.h"

namespace sequela {
namespace {

constexpr int kDone = 0;
constexpr int kDefect = 1;
constexpr int kBadInput = 2;
constexpr int kStopped = 3;
constexpr int kMachineFailed = 4;

// How a command ended. kDone and kStopped are reached by all ranks together; any other code may be
// one rank's own, and the others have to be ended.
struct Outcome {
  int code = kDone;
  std::string message;
};

void AddCommands(CLI::App& program) {
  program.require_subcommand(1);
  program.set_version_flag("--version", VersionText());
  AddSimulateCommand(program);
  AddOracleCommand(program);
  AddIngestCommand(program);
  AddIngestCsvCommand(program);
  AddDescribeCommand(program);
  AddInspectCommand(program);
  AddVerifyCommand(program);
  AddTrainCommand(program);
  AddEvaluateCommand(program);
}

// --help, --version, or a command line that cannot be read. All ranks read the same one: rank 0
// speaks.
Outcome ReportParse(const CLI::App& program, const CLI::ParseError& error, const World& world) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = program.exit(error, out, err) == 0 ? kDone : kBadInput;
  if (world.rank() == 0) {
    fmt::print(stdout, "{}", out.str());
    fmt::print(stderr, "{}", err.str());
  }
  return {code, ""};
}

Outcome ParseAndRun(int argc, char** argv, const World& world) {
  CLI::App program("Trains foundation models of health records.", "sequela");
  AddCommands(program);
  try {
    program.parse(argc, argv);
    return {};
  } catch (const CLI::ParseError& error) {
    return ReportParse(program, error, world);
  } catch (const InputError& error) {
    return {kBadInput, error.what()};
  } catch (const StopRequested& error) {
    return {kStopped, error.what()};
  } catch (const MachineError& error) {
    return {kMachineFailed, error.what()};
  } catch (const std::bad_alloc&) {
    return {kMachineFailed, "out of memory"};
  } catch (const std::exception& error) {
    return {kDefect, fmt::format("internal error (please report it): {}", error.what())};
  }
}

// "sequela: <message>", with the rank's name where the fault may be its own.
std::string Line(const Outcome& outcome, const World* world) {
  if (outcome.message.empty()) return "";
  const bool own = outcome.code == kMachineFailed || outcome.code == kDefect;
  const std::string rank = world != nullptr && own ? world->Name() : "";
  return fmt::format("sequela: {}{}{}", rank, rank.empty() ? "" : ": ", outcome.message);
}

// Starts the world, runs, and leaves it.
int Run(int argc, char** argv) {
  World* world = nullptr;
  try {
    world = &World::Start();
  } catch (const InputError& error) {
    fmt::print(stderr, "{}\n", Line({kBadInput, error.what()}, nullptr));
    return kBadInput;
  } catch (const MachineError& error) {
    fmt::print(stderr, "{}\n", Line({kMachineFailed, error.what()}, nullptr));
    return kMachineFailed;
  }
  InitializeLog(world->rank(), world->size(), LogLevel::kInfo);
  const Outcome outcome = ParseAndRun(argc, argv, *world);
  const std::string line = Line(outcome, world);
  const bool together = outcome.code == kDone || outcome.code == kStopped;
  if (!together && world->size() > 1) world->Abort(outcome.code, line);
  if (!line.empty() && world->rank() == 0) fmt::print(stderr, "{}\n", line);
  world->Finalize();
  return outcome.code;
}

}  // namespace
}  // namespace sequela

int main(int argc, char** argv) { return sequela::Run(argc, argv); }
