// Stop requests: SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU, or a time limit. A training
// only notes a request; the ranks agree on it at the end of a step, save, and stop together.
//
// No thread that computes may run a signal handler: the matrix kernels of oneDNN 2.6 keep the stack
// pointer in a heap buffer for a while, and the kernel would write the handler's frame over the
// heap. Hence these signals are blocked in every thread, and one thread that computes nothing waits
// for them (sigwait).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "runtime/communicator.h"

namespace sequela {

// The first statement of main, before any thread exists: all threads, also those of MPI and OpenMP,
// inherit what it does. Blocks the signals above; a request waits until TakeStopSignals. SIGHUP
// stays ignored where the process was started so (nohup). SIGPIPE and SIGXFSZ are ignored: a write
// to a closed pipe or beyond a limit fails and says so. A process that this one forks has what this
// one was started with.
void BlockStopSignals();

enum class OnStopSignal : std::uint8_t {
  kEndProcess,  // as the signal does by default; one that was ignored at the start does nothing
  kNote,        // for StopSignal; a second SIGINT, at least 0.2 s after the first, ends the process
};

// From now on requests are served so, those too that have waited. May be called again. From any
// thread. REQUIRES: BlockStopSignals was called.
void TakeStopSignals(OnStopSignal action);

// What was requested so far. One at a time. In a program that does not block the signals (unit
// tests) only the time limit.
class StopSignal {
 public:
  // Calls TakeStopSignals(action); requests noted before count. time_limit_seconds 0: none. Counted
  // from here.
  explicit StopSignal(double time_limit_seconds = 0, OnStopSignal action = OnStopSignal::kNote);
  // Forgets the request. Later ones are still only noted.
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // 0: go on. Otherwise why this rank is to stop: the first signal's number, or kTimeLimit.
  std::int64_t request() const;
  static constexpr std::int64_t kTimeLimit = 1000;

  // The same answer on every rank: the largest request. Collective; or put request() into a
  // reduction that the step makes anyway (AllReduceMax).
  std::int64_t Agree(Communicator& communicator) const;

  // "SIGTERM", "the time limit".
  static std::string Describe(std::int64_t request);

 private:
  std::chrono::steady_clock::time_point start_;
  double time_limit_seconds_;
};

}  // namespace sequela
