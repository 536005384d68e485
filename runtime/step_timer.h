// Wall time of parts of a step.
#pragma once

#include <chrono>

namespace sequela {

class Stopwatch {
 public:
  Stopwatch() : start_(Clock::now()) {}
  double Seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  // Seconds since construction or the last Lap.
  double Lap() {
    const auto now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - start_).count();
    start_ = now;
    return seconds;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_;
};

// Adds the time it lives to `total_seconds`.
class ScopedTimer {
 public:
  explicit ScopedTimer(double& total_seconds) : total_seconds_(total_seconds) {}
  ~ScopedTimer() { total_seconds_ += watch_.Seconds(); }
  ScopedTimer(const ScopedTimer&) = delete;
  ScopedTimer& operator=(const ScopedTimer&) = delete;

 private:
  double& total_seconds_;
  Stopwatch watch_;
};

}  // namespace sequela
