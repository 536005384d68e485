// What a GPU's steps are held against: the rate of its dense products through our own interface,
// which on CUDA is cuBLASLt. The CPU's is in machine_rate.h.
#pragma once

#include <algorithm>
#include <cstdint>

#include "benchmarks/square_product.h"
#include "runtime/device.h"
#include "runtime/step_timer.h"

namespace sequela {

// FLOP/s of a square product summed in fp32, best of five.
inline double DeviceProductRate(Device& device, DType dtype, std::int64_t size) {
  const benchmarks::SquareProduct product(device, dtype, size);
  double best_seconds = 1e9;
  for (int i = 0; i < 6; ++i) {
    const Stopwatch watch;
    product.Run();
    device.Synchronize();
    if (i > 0) best_seconds = std::min(best_seconds, watch.Seconds());
  }
  return product.flops() / best_seconds;
}

// The better of two sizes that fill a GPU.
inline double DeviceRate(Device& device, DType dtype) {
  return std::max(DeviceProductRate(device, dtype, 4096), DeviceProductRate(device, dtype, 8192));
}

}  // namespace sequela
