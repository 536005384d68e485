// What a GPU could reach at most in matrix products: its multiprocessors, each doing all that its
// tensor cores (bf16) or its fp32 units can in every cycle of its highest clock.
#pragma once

#include "kernels/base/dtype.h"

namespace sequela {

struct GpuProperties {
  int compute_capability_major = 0;
  int compute_capability_minor = 0;
  int multiprocessors = 0;
  double clock_hz = 0.0;  // the highest of the multiprocessors
};

// FLOP/s (a multiplication and an addition are two) of dense products that are summed in fp32: bf16
// on tensor cores, fp32 on the units of its own. NaN where the compute capability does not say it:
// of 8.6 and 8.9 there are products with half the rate of others. Throughput by compute capability:
// NVIDIA, "CUDA C++ Programming Guide", arithmetic instructions, and the whitepapers of A100
// (2,048 bf16 FLOP a cycle and multiprocessor), H100 (4,096) and B200 (8,192).
double PeakMatrixRate(const GpuProperties& gpu, DType dtype);

}  // namespace sequela
