// The program `sequela`: parses the command line, runs one command, and turns what was thrown into
// one message and an exit code (kernels/base/errors.h).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "launch/commands.h"

namespace sequela {
namespace {

constexpr int kDone = 0;
constexpr int kDefect = 1;
constexpr int kBadInput = 2;
constexpr int kStopped = 3;
constexpr int kMachineFailed = 4;

int Fail(int code, const char* kind, const char* message) {
  fmt::print(stderr, "sequela: {}{}\n", kind, message);
  return code;
}

int ParseAndRun(int argc, char** argv) {
  CLI::App program("Trains foundation models of health records.", "sequela");
  program.require_subcommand(1);
  program.set_version_flag("--version", SEQUELA_VERSION);
  AddSimulateCommand(program);
  AddOracleCommand(program);
  AddIngestCommand(program);
  AddIngestCsvCommand(program);
  AddDescribeCommand(program);
  AddInspectCommand(program);
  AddVerifyCommand(program);
  AddTrainCommand(program);
  AddEvaluateCommand(program);
  try {
    program.parse(argc, argv);
    return kDone;
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? kDone : kBadInput;
  } catch (const InputError& error) {
    return Fail(kBadInput, "", error.what());
  } catch (const StopRequested& error) {
    return Fail(kStopped, "", error.what());
  } catch (const MachineError& error) {
    return Fail(kMachineFailed, "", error.what());
  } catch (const std::bad_alloc&) {
    return Fail(kMachineFailed, "", "out of memory");
  } catch (const std::exception& error) {
    return Fail(kDefect, "internal error (please report it): ", error.what());
  }
}

}  // namespace
}  // namespace sequela

int main(int argc, char** argv) { return sequela::ParseAndRun(argc, argv); }
