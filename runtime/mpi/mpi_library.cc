#include "runtime/mpi/mpi_library.h"

#include "runtime/mpi/mpi_check.h"

namespace sequela {

std::string MpiLibraryVersion() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  SEQUELA_MPI(MPI_Get_library_version, text, &length);
  const std::string version = text;
  return version.substr(0, version.find(','));
}

}  // namespace sequela
