// The ranks of the commands that share their work among ranks (train, evaluate, ingest). No other
// command starts MPI: it may be called by one rank of a job alone, or by a program of its own.
#pragma once

#include "runtime/world.h"

namespace sequela {

// World::Start, after which the log speaks for this rank.
World& StartWorld();

}  // namespace sequela
