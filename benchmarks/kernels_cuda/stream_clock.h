// Times stretches of a device's compute stream. Device's own events (runtime/device.h) carry no
// time: training has no use for it.
#pragma once

#include <memory>
#include <vector>

#include "runtime/device.h"

namespace sequela::benchmarks {

// On the CPU, where everything has happened when a call returns, the host's clock.
class StreamClock {
 public:
  // Borrows the device. Throws MachineError where events cannot be made.
  StreamClock(Device& device, int stretches);
  ~StreamClock();
  StreamClock(const StreamClock&) = delete;
  StreamClock& operator=(const StreamClock&) = delete;

  // What is enqueued between the two is the stretch.
  void Begin(int stretch);
  void End(int stretch);
  // Of each stretch; waits for the device.
  std::vector<double> Milliseconds();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sequela::benchmarks
