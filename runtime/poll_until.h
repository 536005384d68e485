// Waiting for what moves only while it is polled.
#pragma once

#include <chrono>
#include <thread>

#include "runtime/step_timer.h"

namespace sequela {

// Calls done() until it is true, and returns true; false once `seconds` are over. A wait first
// gives up the processor between polls, which costs nothing where nobody else wants it; one that
// lasts (another rank evaluates, or writes) sleeps.
template <typename Condition>
bool PollUntil(double seconds, const Condition& done) {
  constexpr double kSpinSeconds = 0.02;
  constexpr auto kPollInterval = std::chrono::microseconds(100);
  const Stopwatch watch;
  while (!done()) {
    const double waited = watch.Seconds();
    if (waited > seconds) return false;
    if (waited < kSpinSeconds) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kPollInterval);
    }
  }
  return true;
}

}  // namespace sequela
