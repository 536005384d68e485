// The program `sequela`: parses the command line, runs one command, and turns what was thrown into
// one message and an exit code (kernels/base/errors.h). Commands that share their work among ranks
// start MPI themselves; on several ranks a failure ends the whole job.
#include <fmt/format.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "kernels/base/path_names.h"
#include "kernels/base/printable_text.h"
#include "launch/command_list.h"
#include "launch/commands.h"
#include "launch/help_format.h"
#include "launch/standard_streams.h"
#include "launch/version.h"
#include "runtime/launcher.h"
#include "runtime/log.h"
#include "runtime/stop_signal.h"
#include "runtime/world.h"

namespace sequela {
namespace {

constexpr int kDone = 0;
constexpr int kDefect = 1;
constexpr int kBadInput = 2;
constexpr int kStopped = 3;
constexpr int kMachineFailed = 4;
constexpr int kNobodyReads = 141;  // as of a program that SIGPIPE ended

// How a command ended. kDone and kStopped are reached by all ranks together; any other code may be
// one rank's own, and the others have to be ended.
struct Outcome {
  int code = kDone;
  std::string message;
  std::error_code system_error{};  // of what was thrown
};

void AddCommands(CLI::App& program) {
  program.formatter(std::make_shared<HelpFormatter>());
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

// --help, --version, or a command line that cannot be read.
Outcome ReportParse(const CLI::App& program, const CLI::ParseError& error) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = program.exit(error, out, err) == 0 ? kDone : kBadInput;
  std::fputs(out.str().c_str(), stdout);  // does not throw
  std::string message = err.str();
  if (message.ends_with('\n')) message.pop_back();
  return {code, message};
}

// Of a path, at a place that did not say more about it.
Outcome OutcomeOf(const std::filesystem::filesystem_error& error) {
  const std::string path = error.path1().string();
  return {IsFaultOfPath(error.code()) ? kBadInput : kMachineFailed,
          path.empty() ? error.what() : fmt::format("{}: {}", path, error.code().message())};
}

// Of a JSON document, likewise. What the exception says may quote it, and with it a patient.
Outcome OutcomeOf(const nlohmann::json::exception& error) {
  constexpr int kNotUtf8 = 316;
  return {kBadInput,
          error.id == kNotUtf8
              ? "a text among the input is not UTF-8, and the output can hold no other"
              : fmt::format("a JSON file does not have the form that is expected of it (error {})",
                            error.id)};
}

// Calls the command that the arguments name, and by it all the rest of Sequela.
Outcome ParseAndRun(const std::vector<std::string>& arguments) {
  CLI::App program("Trains foundation models of health records.", "sequela");
  AddCommands(program);
  // Before the command's own action. A training notes stop requests (command_train.cc).
  program.parse_complete_callback([&program] {
    if (!program.got_subcommand("train")) TakeStopSignals(OnStopSignal::kEndProcess);
  });
  try {
    std::vector<std::string> words = WithCommand(program, arguments);
    std::reverse(words.begin(), words.end());  // as CLI11 takes them
    program.parse(std::move(words));
    return {};
  } catch (const CLI::ParseError& error) {
    return ReportParse(program, error);
  } catch (const InputError& error) {
    return {kBadInput, error.what()};
  } catch (const StopRequested& error) {
    return {kStopped, error.what()};
  } catch (const MachineError& error) {
    return {kMachineFailed, error.what()};
  } catch (const std::bad_alloc&) {
    return {kMachineFailed, "out of memory"};
  } catch (const std::filesystem::filesystem_error& error) {
    return OutcomeOf(error);
  } catch (const nlohmann::json::exception& error) {
    return OutcomeOf(error);
  } catch (const std::system_error& error) {
    return {kDefect, fmt::format("internal error (please report it): {}", error.what()),
            error.code()};
  } catch (const std::exception& error) {
    return {kDefect, fmt::format("internal error (please report it): {}", error.what())};
  }
}

// The outcome once standard output is written. A print that fails throws std::system_error.
Outcome WithResultsWritten(Outcome outcome) {
  const bool print_failed = std::ferror(stdout) != 0 && outcome.system_error;
  if (outcome.code != kDone && !print_failed) return outcome;
  try {
    if (FlushResults(outcome.system_error) == Written::kNobodyReads) return {kNobodyReads, ""};
    return outcome;
  } catch (const MachineError& error) {
    return {kMachineFailed, error.what()};
  }
}

// "sequela: <message>", with the rank's name where the fault may be its own.
std::string Line(const Outcome& outcome, const World* world) {
  if (outcome.message.empty()) return "";
  const bool own = outcome.code == kMachineFailed || outcome.code == kDefect;
  const std::string rank = world != nullptr && own ? world->Name() : "";
  return fmt::format("sequela: {}{}{}", rank, rank.empty() ? "" : ": ",
                     PrintableLines(outcome.message));
}

// What a command without MPI finds wrong, the other processes of the launcher find too: they leave
// the word to the first, whose launcher ends them meanwhile.
void LetFirstProcessSpeak() {
  if (FindLauncher().rank == 0) return;
  TakeStopSignals(OnStopSignal::kEndProcess);
  std::this_thread::sleep_for(std::chrono::seconds(5));
}

int Run(const std::vector<std::string>& arguments) {
  const Outcome outcome = WithResultsWritten(ParseAndRun(arguments));
  World* const world = World::Started();
  const std::string line = Line(outcome, world);
  const bool together = outcome.code == kDone || outcome.code == kStopped;
  if (world == nullptr) {
    if (!together) LetFirstProcessSpeak();
    PrintError(line);
    return outcome.code;
  }
  if (!together && world->size() > 1) world->Abort(outcome.code, line);
  if (world->rank() == 0) PrintError(line);
  world->Finalize();
  return outcome.code;
}

}  // namespace
}  // namespace sequela

int main(int argc, char** argv) {
  // Everything that is written holds patients' data: for its owner's eyes, whatever the umask was.
  ::umask(0077);
  sequela::BlockStopSignals();
  sequela::OpenClosedDescriptors();
  return sequela::Run({argv + 1, argv + argc});
}
