#include "runtime/libraries.h"

#ifdef SEQUELA_WITH_MPI
#include "runtime/mpi/mpi_library.h"
#endif

namespace sequela {

std::string MpiLibrary() {
#ifdef SEQUELA_WITH_MPI
  return MpiLibraryVersion();
#else
  return "no MPI";
#endif
}

}  // namespace sequela
