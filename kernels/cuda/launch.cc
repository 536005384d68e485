#include "kernels/cuda/launch.h"

#include <cuda_runtime.h>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "kernels/cuda/launch_interface.h"

namespace sequela::cuda {
namespace {

LaunchInterface launch_interface;

// Kernels that want more dynamic shared memory than this must say so beforehand.
constexpr std::uint32_t kSharedWithoutAsking = 48U << 10;

void Refused(const KernelLaunch& launch, cudaError_t error) {
  throw MachineError("CUDA cannot start kernel {} (grid {}x{}x{}, {} threads, {} bytes shared): {}",
                     launch.name, launch.grid[0], launch.grid[1], launch.grid[2], launch.block[0],
                     launch.shared_bytes, cudaGetErrorString(error));
}

}  // namespace

void TEST_SetLaunchInterface(const LaunchInterface& replaced) { launch_interface = replaced; }
const LaunchInterface& CurrentLaunchInterface() { return launch_interface; }

bool IsHopper() {
  if (launch_interface.hopper.has_value()) return *launch_interface.hopper;
  if (launch_interface.launch != nullptr) return false;
  int device = 0, major = 0, minor = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  }
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  }
  if (error != cudaSuccess) {
    throw MachineError("CUDA does not say what the device is: {}", cudaGetErrorString(error));
  }
  return major == 9 && minor == 0;
}

void LaunchKernel(const Exec& exec, const KernelLaunch& launch) {
  if (launch.grid[0] == 0 || launch.grid[1] == 0 || launch.grid[2] == 0) return;
  SEQUELA_CHECK(launch.grid[1] <= 65535 && launch.grid[2] <= 65535, "{}", launch.name);
  if (launch_interface.launch != nullptr) {
    launch_interface.launch(launch);
    return;
  }
  if (launch.shared_bytes > kSharedWithoutAsking) {
    const cudaError_t error =
        cudaFuncSetAttribute(launch.function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(launch.shared_bytes));
    if (error != cudaSuccess) Refused(launch, error);
  }
  void* arguments[] = {const_cast<void*>(launch.parameters)};
  const cudaError_t error =
      cudaLaunchKernel(launch.function, dim3(launch.grid[0], launch.grid[1], launch.grid[2]),
                       dim3(launch.block[0], launch.block[1], launch.block[2]), arguments,
                       launch.shared_bytes, static_cast<cudaStream_t>(exec.stream));
  if (error != cudaSuccess) Refused(launch, error);
}

}  // namespace sequela::cuda
