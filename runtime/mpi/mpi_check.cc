#include "runtime/mpi/mpi_check.h"

#include <array>
#include <string_view>

#include "kernels/base/errors.h"

namespace sequela {

void CheckMpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw MachineError("{} failed: {}", call,
                     std::string_view(text.data(), static_cast<std::size_t>(length)));
}

}  // namespace sequela
