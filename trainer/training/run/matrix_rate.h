// Useful work and the rate of matrix products that a device was seen to reach, for
// matrix_rate_share.
#pragma once

#include "dataio/loader/batch_loader.h"
#include "kernels/exec.h"
#include "runtime/device.h"
#include "runtime/step_timer.h"
#include "trainer/model/model_config.h"

namespace sequela {

// Useful floating-point operations of forward and backward over this rank's batches: 6 N a token, N
// the weights in matrix products, and 12 L d for every pair of a token and one that it sees, itself
// included (L layers, d = heads x head_dim).
double TrainingFlops(const ModelConfig& config, const StepInput& batches);

// What this rank's matrix products reach, in FLOP/s: the best ever seen. A machine that others use
// too is slow at one moment and not at the next, so products are timed at the start and every few
// seconds between steps, and a step that was faster than all of them counts as well: a share of
// this rate is never above 1. A GPU is timed at the start alone. One thread at a time.
class MatrixRate {
 public:
  // Times products for about 50 ms. Borrows the device.
  MatrixRate(Device& device, int num_threads, DType dtype);

  // Between two steps: times one product of a few milliseconds where the last is ten seconds ago.
  void Refresh();
  // The share of the rate that work of so many operations in so many seconds was.
  double ShareOf(double flops, double seconds);
  double flops_per_second() const { return best_; }

 private:
  void TimeProducts(double seconds);

  Device& device_;
  Exec exec_;
  DType dtype_;
  double best_ = 0.0;
  Stopwatch since_refresh_;
};

}  // namespace sequela
