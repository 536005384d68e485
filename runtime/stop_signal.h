// Wishes that the run end: SIGTERM, SIGUSR1, SIGINT, or a time limit. A wish is only noticed; the
// ranks agree on it at the end of a step, save, and stop together.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "runtime/communicator.h"

namespace sequela {

// Handlers are installed while it lives; one at a time. A second SIGINT ends the process at once.
class StopSignal {
 public:
  // time_limit_seconds 0: none. Counted from here.
  explicit StopSignal(double time_limit_seconds = 0);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // 0: go on. Otherwise why this rank wants to stop: the signal's number, or kTimeLimit.
  std::int64_t wish() const;
  static constexpr std::int64_t kTimeLimit = 1000;

  // The same answer on every rank: the largest wish. Collective; or put wish() into a reduction
  // that the step makes anyway (AllReduceMax).
  std::int64_t Agree(Communicator& communicator) const;

  // "SIGTERM", "the time limit".
  static std::string Describe(std::int64_t wish);

 private:
  std::chrono::steady_clock::time_point start_;
  double time_limit_seconds_;
};

}  // namespace sequela
