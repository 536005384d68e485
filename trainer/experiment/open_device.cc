#include "trainer/experiment/open_device.h"

#include <filesystem>

#include "kernels/base/errors.h"
#include "runtime/gpu_choice.h"
#include "runtime/log.h"

namespace sequela {
namespace {

// Who asks for whatever there is should not find out after a day that it was the CPU.
void SayWhyNotGpu(const std::string& obstacle) {
  std::error_code ignored;
  if (!obstacle.empty()) {
    LogWarning(
        "parallel.device: auto takes the CPU on all ranks, though there are GPUs: {}. Start one "
        "rank "
        "for each GPU of a machine",
        obstacle);
  } else if (std::filesystem::exists("/dev/nvidiactl", ignored)) {
    LogWarning("parallel.device: auto takes the CPU, though this machine has an NVIDIA driver: {}",
               CudaInBuild() ? "CUDA finds no GPU that this process may use (CUDA_VISIBLE_DEVICES?)"
                             : "this program was built without CUDA");
  }
}

}  // namespace

std::shared_ptr<Device> OpenDevice(DeviceChoice choice, World& world) {
  if (choice != DeviceChoice::kCpu) {
    const GpuChoice gpus = ChooseGpus(world);
    if (!gpus.indices.empty()) {
      return MakeCudaDevice(gpus.indices[static_cast<std::size_t>(world.rank())]);
    }
    if (choice == DeviceChoice::kCuda) {
      if (CudaDeviceIds().empty()) return MakeCudaDevice(0);  // throws, and says what is missing
      throw InputError(
          "parallel.device: cuda takes a GPU of its own for each rank, but {}. Start one rank for "
          "each GPU of a machine (CUDA_VISIBLE_DEVICES limits what it sees)",
          gpus.obstacle);
    }
    SayWhyNotGpu(gpus.obstacle);
  }
  return {&HostDevice(), [](Device*) {}};  // lives as long as the program
}

}  // namespace sequela
