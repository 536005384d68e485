// The three ways in which a run ends for a reason that is not our mistake. Thrown where the fault
// is known, carried across threads as they are, caught once in launch/main.cc, which prints what()
// and exits with the code below. Our own mistakes end in SEQUELA_CHECK (check.h) and exit code 1.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace sequela {

// The user's data, files or settings are wrong; exit code 2. The message says which file and place,
// what was found, what was expected and how to mend it, in one or a few lines.
class InputError : public std::runtime_error {
 public:
  explicit InputError(const std::string& message) : std::runtime_error(message) {}
  template <typename... Args>
  explicit InputError(fmt::format_string<Args...> format,
                      Args&&... args) requires(sizeof...(Args) > 0)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)) {}
};

// A signal or a time limit asked the run to end and a checkpoint was written; exit code 3.
class StopRequested : public std::runtime_error {
 public:
  explicit StopRequested(const std::string& message) : std::runtime_error(message) {}
};

// A rank, device or file system failed; exit code 4.
class MachineError : public std::runtime_error {
 public:
  explicit MachineError(const std::string& message) : std::runtime_error(message) {}
  template <typename... Args>
  explicit MachineError(fmt::format_string<Args...> format,
                        Args&&... args) requires(sizeof...(Args) > 0)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)) {}
};

}  // namespace sequela
