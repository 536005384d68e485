#pragma once

#include <string>

namespace sequela {

// The library's own name and version, to the first comma. Needs no MPI_Init.
std::string MpiLibraryVersion();

}  // namespace sequela
