// Whether all ranks hold the same parameters, bit for bit. They do unless a memory, a device or a
// network is faulty, or this program is.
#pragma once

#include <cstdint>

#include "runtime/communicator.h"
#include "runtime/parameter_table.h"

namespace sequela {

// Collective. Throws MachineError on all ranks where one differs from rank 0, naming rank and
// parameter; `step` appears in the message.
void CheckReplicas(const FlatBuffers& buffers, Communicator& communicator, std::int64_t step);

}  // namespace sequela
