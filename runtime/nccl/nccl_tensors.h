// What a World over MPI makes its communicators for GPUs by.
#pragma once

#include <memory>

#include "runtime/communicator.h"

namespace sequela {

class ActivityBoard;

// An NcclCommunicator (nccl_communicator.h) upon `host`, of the same ranks. Collective. Borrows the
// board and the stream. Throws InputError where this build has no NCCL, and as NcclCommunicator.
std::unique_ptr<Communicator> MakeNcclTensors(ActivityBoard& board,
                                              std::unique_ptr<Communicator> host, int device_index,
                                              void* compute_stream);

}  // namespace sequela
