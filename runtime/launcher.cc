#include "runtime/launcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace sequela {
namespace {

// MPI's own launchers tell the number of processes by these; the first that is set holds.
// SLURM_STEP_NUM_TASKS is also set for what mpirun starts inside an allocation, where it counts
// daemons.
constexpr const char* kMpiSizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};

// A variable that tells the number of processes or, for launchers that may not tell it, the rank.
struct Clue {
  const char* variable;
  bool is_rank;
  const char* launcher;
};

constexpr Clue kOtherLaunchers[] = {
    {"SLURM_STEP_NUM_TASKS", false, "srun"},
    {"WORLD_SIZE", false, "torchrun or a launcher like it"},
    {"LOCAL_WORLD_SIZE", false, "torchrun or a launcher like it"},
    {"MV2_COMM_WORLD_SIZE", false, "MVAPICH"},
    {"MV2_COMM_WORLD_RANK", true, "MVAPICH"},
    {"FLUX_JOB_SIZE", false, "Flux"},
    {"FLUX_TASK_RANK", true, "Flux"},
    {"JSM_NAMESPACE_SIZE", false, "JSM (jsrun)"},
    {"JSM_NAMESPACE_RANK", true, "JSM (jsrun)"},
    {"PALS_LOCAL_SIZE", false, "PALS (Cray's mpiexec, aprun)"},
    {"PALS_RANKID", true, "PALS (Cray's mpiexec, aprun)"},
    {"ALPS_APP_PE", true, "ALPS (aprun)"},
    {"HOROVOD_SIZE", false, "horovodrun"},
    {"PMI_RANK", true, "a PMI launcher"},
};

constexpr const char* kRanks[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK",      "PMI_RANK",
                                  "SLURM_PROCID",         "FLUX_TASK_RANK", "JSM_NAMESPACE_RANK",
                                  "PALS_RANKID"};

// -1 where the variable is not set or no number.
int NumberIn(const char* variable) {
  const char* const text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return -1;
  char* end = nullptr;
  const long number = std::strtol(text, &end, 10);
  return *end == '\0' && number >= 0 && number < (1L << 30) ? static_cast<int>(number) : -1;
}

}  // namespace

Launcher FindLauncher() {
  Launcher launcher;
  // Open MPI's mpirun; srun --mpi=pmix; PMI-1 launchers (mpiexec of MPICH and Intel).
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMIX_NAMESPACE", "PMI_SIZE"}) {
    launcher.speaks_mpi |= std::getenv(name) != nullptr;
  }
  for (const char* name : kRanks) launcher.rank = std::max(launcher.rank, NumberIn(name));
  if (launcher.speaks_mpi) {
    for (const char* name : kMpiSizes) {
      if (launcher.num_processes == 0) launcher.num_processes = std::max(0, NumberIn(name));
    }
    return launcher;
  }
  for (const Clue& clue : kOtherLaunchers) {
    const int number = NumberIn(clue.variable);
    // A rank above 0 tells of at least that many others.
    const int processes = clue.is_rank && number > 0 ? number + 1 : number;
    if (processes <= 1) continue;
    launcher.num_processes = processes;
    launcher.name = clue.launcher;
    launcher.variable = fmt::format("{}={}", clue.variable, number);
    break;
  }
  return launcher;
}

}  // namespace sequela
