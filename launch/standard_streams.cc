#include "launch/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "kernels/base/errors.h"

namespace sequela {

void OpenClosedDescriptors() {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    const bool closed = ::fcntl(descriptor, F_GETFD) == -1 && errno == EBADF;
    // The lowest free descriptor is this one: those below it are open.
    if (closed && ::open("/dev/null", O_RDWR) != descriptor) ::_exit(4);
  }
}

Written FlushResults(std::error_code earlier) {
  std::error_code error = earlier;
  const bool failed_before = std::ferror(stdout) != 0;
  errno = 0;
  if (std::fflush(stdout) != 0 && !error) error = {errno, std::generic_category()};
  if (!failed_before && !error) return Written::kAll;
  if (error == std::errc::broken_pipe) return Written::kNobodyReads;
  throw MachineError("the results could not be written to standard output{}",
                     error ? ": " + error.message() : "");
}

}  // namespace sequela
