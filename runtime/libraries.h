// What ranks speak through, for --version and for the first lines of a run's log.
#pragma once

#include <string>

namespace sequela {

// "Open MPI v4.1.4"; "no MPI" in a build without.
std::string MpiLibrary();

// "NCCL 2.28.9"; "no NCCL" in a build without.
std::string NcclLibrary();

}  // namespace sequela
