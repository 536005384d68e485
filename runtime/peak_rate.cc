#include "runtime/peak_rate.h"

#include <limits>

namespace sequela {
namespace {

struct Throughput {
  int major, minor;
  double bf16, fp32;  // FLOP of one multiprocessor in one cycle
};
constexpr Throughput kThroughputs[] = {
    {8, 0, 2048.0, 128.0}, {9, 0, 4096.0, 256.0}, {10, 0, 8192.0, 256.0}};

}  // namespace

double PeakMatrixRate(const GpuProperties& gpu, DType dtype) {
  for (const Throughput& known : kThroughputs) {
    if (known.major != gpu.compute_capability_major ||
        known.minor != gpu.compute_capability_minor) {
      continue;
    }
    const double per_cycle = dtype == DType::kFloat32 ? known.fp32 : known.bf16;
    return per_cycle * gpu.multiprocessors * gpu.clock_hz;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace sequela
