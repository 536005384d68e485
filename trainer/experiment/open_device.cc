#include "trainer/experiment/open_device.h"

namespace sequela {

std::shared_ptr<Device> OpenDevice(DeviceChoice choice, const World& world) {
  const bool use_gpu = choice == DeviceChoice::kCuda ||
                       (choice == DeviceChoice::kAuto && NumCudaDevices() >= world.local_size());
  if (use_gpu) return MakeCudaDevice(world.local_rank());
  return {&HostDevice(), [](Device*) {}};  // lives as long as the program
}

}  // namespace sequela
