// Who started this process, told by the environment: a launcher of MPI, one that this program cannot
// join (torchrun and others), or nobody.
#pragma once

#include <string>

namespace sequela {

struct Launcher {
  bool speaks_mpi = false;  // MPI can be started
  int num_processes = 0;    // of the job; 0: it does not say
  int rank = 0;             // of this process; 0 where it does not say
  // Of a launcher of several processes that does not speak MPI, for messages: "Flux",
  // "FLUX_JOB_SIZE=2".
  std::string name;
  std::string variable;
};

// Reads the environment. Cheap; starts nothing.
Launcher FindLauncher();

}  // namespace sequela
