// The device of a rank by the experiment's choice.
#pragma once

#include <memory>

#include "runtime/device.h"
#include "runtime/world.h"
#include "trainer/experiment/experiment.h"

namespace sequela {

// kCuda: the GPU of this rank's index among the ranks of its machine; throws InputError in one line
// that says what is missing. kCpu: HostDevice(). kAuto: a GPU where every rank of this machine can
// have its own, else the CPU.
std::shared_ptr<Device> OpenDevice(DeviceChoice choice, const World& world);

}  // namespace sequela
