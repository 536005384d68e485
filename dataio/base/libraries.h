// What records are read and written with, for --version and for the first lines of a run's log.
#pragma once

#include <string>

namespace sequela {

std::string Hdf5Library();  // "HDF5 1.10.8"
#if defined(SEQUELA_WITH_ARROW)
std::string ArrowLibrary();  // "Arrow 26.0.0"
#endif

}  // namespace sequela
