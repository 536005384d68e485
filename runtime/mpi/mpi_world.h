// The World of a job that a launcher started over MPI.
#pragma once

#include <memory>

#include "runtime/world.h"

namespace sequela {

class ActivityBoard;

// Makes the communicator for the memory of this rank's GPU upon `host`, of the same ranks.
// Collective. Borrows the board and the stream.
using MakeTensorsOverHost = std::unique_ptr<Communicator> (*)(ActivityBoard& board,
                                                              std::unique_ptr<Communicator> host,
                                                              int device_index,
                                                              void* compute_stream);

// Calls MPI_Init_thread. `expected_size`: the ranks that the launcher announced, 0 where it does
// not say.
std::unique_ptr<World> MakeMpiWorld(int expected_size, MakeTensorsOverHost make_gpu_tensors);

}  // namespace sequela
