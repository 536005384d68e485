#include "launch/version.h"

#include <fmt/format.h>

#include "dataio/libraries.h"
#include "kernels/gemm.h"
#include "kernels/libraries.h"
#include "runtime/libraries.h"

namespace sequela {
namespace {

std::string ArrowText() {
#if defined(SEQUELA_WITH_ARROW)
  return ArrowLibrary();
#else
  return "no Arrow";
#endif
}

std::string VectorText() {
  return fmt::format("{}, {} bf16 instructions", VectorInstructions(),
                     GemmHasNativeBf16(Exec{}) ? "with" : "no");
}

}  // namespace

std::string VersionText() {
  return fmt::format(
      "sequela    {}, commit {}\n"
      "compiler   {}\n"
      "backends   cpu ({})\n"
      "libraries  {}, {}, {}, {}, {}",
      SEQUELA_VERSION, BuildCommit(), __VERSION__, VectorText(), MpiLibrary(), NcclLibrary(),
      Hdf5Library(), ArrowText(), MatrixLibrary());
}

std::string BuildLine() {
  return fmt::format("build {}, compiler {}, {}, {}, {}, {}, {}", BuildCommit(), __VERSION__,
                     MpiLibrary(), NcclLibrary(), Hdf5Library(), ArrowText(), MatrixLibrary());
}

std::string MachineLine() { return fmt::format("processor {}", VectorText()); }

}  // namespace sequela
