// MPI's return codes as MachineError. The one way in which this folder calls MPI.
#pragma once

#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

namespace sequela {

// Throws MachineError "<call> failed: <MPI's words>" where code is not MPI_SUCCESS.
void CheckMpi(int code, const char* call);

}  // namespace sequela

#define SEQUELA_MPI(function, ...) ::sequela::CheckMpi(function(__VA_ARGS__), #function)
