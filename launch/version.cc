#include "launch/version.h"

#include <fmt/format.h>

#include "dataio/base/libraries.h"
#include "kernels/gemm.h"
#include "kernels/libraries.h"
#include "runtime/device.h"
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

std::string CudaText() {
#if defined(SEQUELA_WITH_CUDA)
  const int gpus = NumCudaDevices();
  return gpus == 0 ? "cuda (no GPU here)" : fmt::format("cuda ({} GPUs)", gpus);
#else
  return "no cuda in this build";
#endif
}

}  // namespace

std::string VersionText() {
  return fmt::format(
      "sequela    {}, commit {}\n"
      "compiler   {}\n"
      "backends   cpu ({}), {}\n"
      "libraries  {}, {}, {}, {}, {}",
      SEQUELA_VERSION, BuildCommit(), __VERSION__, VectorText(), CudaText(), MpiLibrary(),
      NcclLibrary(), Hdf5Library(), ArrowText(), MatrixLibrary());
}

std::string BuildLine() {
  return fmt::format("sequela {}, commit {}, compiler {}", SEQUELA_VERSION, BuildCommit(),
                     __VERSION__);
}

std::string LibrariesLine() {
  return fmt::format("{}, {}, {}, {}, {}", MpiLibrary(), NcclLibrary(), Hdf5Library(), ArrowText(),
                     MatrixLibrary());
}

std::string MachineLine() { return fmt::format("processor {}", VectorText()); }

}  // namespace sequela
