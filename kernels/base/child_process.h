// Work in a process of its own, for libraries that hostile input can crash: what dies is the child.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace sequela {

struct ChildOutcome {
  std::string result;  // what the work returned; empty where the child died
  std::string note;    // the last text that the work noted
  std::string death;   // "signal 11 (Segmentation fault)", "exit code 1"; empty where it returned
};

// Takes notes while the work goes on: what it is about to do, so that a death can be told.
using ChildNotes = std::function<void(std::string_view)>;

// Runs `work` in a fork of this process, in which no other thread lives on, and waits for its end.
// The child leaves no core file, which would hold what it read, and ends with this process. An
// InputError, MachineError or bad_alloc of the work is thrown here as its own; any other exception
// as std::runtime_error. Throws MachineError where no process can be made, and where the child was
// killed (SIGKILL, as the kernel does where memory runs out; SIGTERM).
ChildOutcome RunInChild(const std::function<std::string(const ChildNotes&)>& work);

}  // namespace sequela
