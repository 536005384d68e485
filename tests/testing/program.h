// Runs the program `sequela` (SEQUELA_PROGRAM) as a user would, alone or on several ranks, and
// keeps what it printed. For end-to-end tests. Safe for concurrent use.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace sequela::testing {

struct ProgramResult {
  int exit_code = -1;  // 128 + signal where a signal ended it
  std::string output;  // standard output
  std::string errors;  // standard error
};

struct ProgramOptions {
  int ranks = 0;                 // 0: started directly; else by launch/mpirun.sh
  int threads = 1;               // OMP_NUM_THREADS
  double timeout_seconds = 120;  // past it the whole process group is killed (exit code 137)
  std::vector<std::string> environment;  // further "NAME=value"; "NAME=" unsets
  bool terminal = false;                 // at a pseudo-terminal of its own, for PressInterrupt
};

// A process group that is running; killed by the destructor where it still runs.
class RunningProgram {
 public:
  RunningProgram(const std::vector<std::string>& arguments, const ProgramOptions& options);
  ~RunningProgram();
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;

  // Sends a signal to the started process alone, or to every process of its group.
  void Signal(int signal_number) const;
  void SignalGroup(int signal_number) const;
  // Ctrl-C at its terminal: SIGINT to every process in the foreground.
  void PressInterrupt() const;
  // Process ids of the ranks (the group's processes named "sequela").
  std::vector<pid_t> RankProcesses() const;
  bool WaitFor(std::chrono::milliseconds duration);  // true: it ended within the time
  ProgramResult Finish();                            // waits up to the timeout

 private:
  pid_t process_ = -1;
  int terminal_ = -1;  // this end of the pseudo-terminal
  double timeout_seconds_;
  std::filesystem::path output_file_;
  std::filesystem::path error_file_;
  std::optional<int> status_;
};

ProgramResult RunProgram(const std::vector<std::string>& arguments,
                         const ProgramOptions& options = {});

}  // namespace sequela::testing
