// The World of a job that a launcher started over MPI.
#pragma once

#include <memory>

#include "runtime/world.h"

namespace sequela {

// Calls MPI_Init_thread. `expected_size`: the ranks that the launcher announced, 0 where it does
// not say.
std::unique_ptr<World> MakeMpiWorld(int expected_size);

}  // namespace sequela
