#include "tests/testing/program.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#ifndef SEQUELA_PROGRAM
#error "tests/CMakeLists.txt defines SEQUELA_PROGRAM and SEQUELA_SOURCE_DIR"
#endif

namespace sequela::testing {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> CommandLine(const std::vector<std::string>& arguments,
                                     const ProgramOptions& options) {
  std::vector<std::string> command;
  if (options.ranks > 0) {
    command = {SEQUELA_SOURCE_DIR "/launch/mpirun.sh", std::to_string(options.ranks)};
  }
  command.emplace_back(SEQUELA_PROGRAM);
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

// In the child: a process group of its own, output into files, then the program.
[[noreturn]] void ExecuteChild(const std::vector<std::string>& command,
                               const ProgramOptions& options, const fs::path& output,
                               const fs::path& errors) {
  // A session and group of its own: its ranks can be found and ended together. forkpty has done so.
  if (!options.terminal) ::setsid();
  const int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int err = ::open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const int in = ::open("/dev/null", O_RDONLY);
  if (!options.terminal) ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(err, 2);
  ::setenv("OMP_NUM_THREADS", std::to_string(options.threads).c_str(), 1);
  for (const std::string& setting : options.environment) {
    const auto equals = setting.find('=');
    const std::string name = setting.substr(0, equals);
    const std::string value = setting.substr(equals + 1);
    value.empty() ? ::unsetenv(name.c_str()) : ::setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char*> pointers;
  pointers.reserve(command.size() + 1);
  for (const std::string& word : command) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  ::execv(pointers[0], pointers.data());
  ::_exit(127);
}

int ExitCode(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

RunningProgram::RunningProgram(const std::vector<std::string>& arguments,
                               const ProgramOptions& options)
    : timeout_seconds_(options.timeout_seconds) {
  char name[] = "/tmp/sequela-output-XXXXXX";
  if (::mkdtemp(name) == nullptr) throw std::runtime_error("mkdtemp failed");
  output_file_ = fs::path(name) / "output";
  error_file_ = fs::path(name) / "errors";
  const std::vector<std::string> command = CommandLine(arguments, options);
  process_ = options.terminal ? ::forkpty(&terminal_, nullptr, nullptr, nullptr) : ::fork();
  if (process_ < 0) throw std::runtime_error("fork failed");
  if (process_ == 0) ExecuteChild(command, options, output_file_, error_file_);
}

RunningProgram::~RunningProgram() {
  if (!status_) {
    SignalGroup(SIGKILL);
    Signal(SIGKILL);  // it may not have made its group yet
    int status = 0;
    ::waitpid(process_, &status, 0);
  }
  if (terminal_ >= 0) ::close(terminal_);
  std::error_code ignored;
  fs::remove_all(output_file_.parent_path(), ignored);
}

void RunningProgram::Signal(int signal_number) const { ::kill(process_, signal_number); }

void RunningProgram::SignalGroup(int signal_number) const { ::kill(-process_, signal_number); }

void RunningProgram::PressInterrupt() const {
  constexpr char kControlC = '\x03';
  (void)!::write(terminal_, &kControlC, 1);
}

std::vector<pid_t> RunningProgram::RankProcesses() const {
  std::vector<pid_t> ranks;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string stat = ReadAll(entry.path() / "stat");
    if (stat.find("(sequela)") == std::string::npos) continue;
    // mpirun gives its ranks process groups of their own: they are found by their session's leader.
    const auto process = static_cast<pid_t>(std::stol(name));
    if (::getsid(process) == ::getsid(process_)) ranks.push_back(process);
  }
  return ranks;
}

bool RunningProgram::WaitFor(std::chrono::milliseconds duration) {
  const auto end = Clock::now() + duration;
  while (!status_) {
    int status = 0;
    if (::waitpid(process_, &status, WNOHANG) == process_) status_ = ExitCode(status);
    if (status_ || Clock::now() >= end) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return status_.has_value();
}

ProgramResult RunningProgram::Finish() {
  const auto limit = std::chrono::milliseconds(static_cast<std::int64_t>(timeout_seconds_ * 1000));
  if (!WaitFor(limit)) {
    SignalGroup(SIGKILL);
    int status = 0;
    ::waitpid(process_, &status, 0);
    status_ = 128 + SIGKILL;
  }
  ProgramResult result;
  result.exit_code = *status_;
  result.output = ReadAll(output_file_);
  result.errors = ReadAll(error_file_);
  return result;
}

ProgramResult RunProgram(const std::vector<std::string>& arguments, const ProgramOptions& options) {
  return RunningProgram(arguments, options).Finish();
}

}  // namespace sequela::testing
