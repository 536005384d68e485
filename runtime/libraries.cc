#include "runtime/libraries.h"

#ifdef SEQUELA_WITH_MPI
#include "runtime/mpi/mpi_library.h"
#endif
#ifdef SEQUELA_WITH_NCCL
#include "runtime/nccl/nccl_library.h"
#endif

namespace sequela {

std::string MpiLibrary() {
#ifdef SEQUELA_WITH_MPI
  return MpiLibraryVersion();
#else
  return "no MPI";
#endif
}

std::string NcclLibrary() {
#ifdef SEQUELA_WITH_NCCL
  return NcclLibraryVersion();
#else
  return "no NCCL";
#endif
}

}  // namespace sequela
