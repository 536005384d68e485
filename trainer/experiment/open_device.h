// The device of a rank by the experiment's choice.
#pragma once

#include <memory>

#include "runtime/device.h"
#include "runtime/world.h"
#include "trainer/experiment/experiment.h"

namespace sequela {

// kCuda: a GPU of its own for each rank (runtime/gpu_choice.h); throws InputError in one line that
// says what is missing. kCpu: HostDevice(). kAuto: GPUs where every rank of the job can have its
// own, else the CPU on all ranks, with a warning where GPUs are left unused. Collective.
std::shared_ptr<Device> OpenDevice(DeviceChoice choice, World& world);

}  // namespace sequela
