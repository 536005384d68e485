// What tests may put in the place of the driver and of cuBLASLt, so that everything above runs
// without a GPU: "device" memory is then the host's. Not used by the product. Set before any other
// use, one thread at a time; null puts the real thing back.
#pragma once

#include <optional>

#include "kernels/cuda/launch.h"
#include "kernels/gemm.h"

namespace sequela::cuda {

struct LaunchInterface {
  void (*launch)(const KernelLaunch& launch) = nullptr;
  void (*gemm)(const Exec& exec, const GemmArgs& args) = nullptr;
  std::optional<bool> hopper;  // what IsHopper says, instead of the device
};
void TEST_SetLaunchInterface(const LaunchInterface& replaced);
const LaunchInterface& CurrentLaunchInterface();

}  // namespace sequela::cuda
