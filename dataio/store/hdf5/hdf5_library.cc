#include <fmt/format.h>
#include <hdf5.h>

#include "dataio/base/libraries.h"

namespace sequela {

std::string Hdf5Library() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("HDF5 {}.{}.{}", major, minor, release);
}

}  // namespace sequela
