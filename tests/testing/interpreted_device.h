// Devices for tests of whatever runs on one.
#pragma once

#include <memory>

#include "runtime/device.h"

namespace sequela::testing {

// A GPU whose kernels tests/ptx interprets: backend kCuda, memory that is the host's (registered
// with the interpreter where the test program runs on it). What its streams are told happens at
// once, in the order of the calls; Free checks that the memory came from here.
std::unique_ptr<Device> MakeInterpretedDevice();

// The device of the test program's backend (test_backend.h): the CPU, the interpreted GPU, or GPU
// 0. Lives as long as the program.
Device& TestDevice();

}  // namespace sequela::testing
