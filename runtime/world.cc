#include "runtime/world.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "kernels/base/errors.h"
#ifdef SEQUELA_WITH_MPI
#include "runtime/mpi/mpi_world.h"
#endif

namespace sequela {
namespace {

// Owned for the life of the process and never destroyed: MPI objects must not be freed after
// MPI_Finalize, nor by a failing rank.
World* g_world = nullptr;

class SingleWorld : public World {
 public:
  SingleWorld() { communicator_ = MakeSelfCommunicator(); }
  std::unique_ptr<Communicator> MakeTensorCommunicator(Backend, void*) override {
    return MakeSelfCommunicator();
  }
  void Finalize() override {}

 protected:
  void AbortAll(int) override {}
};

struct Launcher {
  bool speaks_mpi = false;
  int num_processes = 0;  // 0: it does not say
};

int EnvironmentNumber(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? 0 : std::atoi(text);
}

Launcher FindLauncher() {
  Launcher launcher;
  // Open MPI's mpirun; srun --mpi=pmix; PMI-1 launchers (mpiexec of MPICH and Intel).
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMIX_NAMESPACE", "PMI_SIZE"}) {
    launcher.speaks_mpi |= std::getenv(name) != nullptr;
  }
  // SLURM_STEP_NUM_TASKS is also set for what mpirun starts inside an allocation: there it counts
  // daemons.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    if (launcher.num_processes == 0) launcher.num_processes = EnvironmentNumber(name);
  }
  return launcher;
}

std::unique_ptr<World> MakeWorld() {
  const Launcher launcher = FindLauncher();
#ifdef SEQUELA_WITH_MPI
  if (launcher.speaks_mpi) return MakeMpiWorld(launcher.num_processes);
  if (launcher.num_processes > 1) {
    throw InputError(
        "a launcher started {} processes, but gave them no way to find each other. Under Slurm use "
        "srun --mpi=pmix, or mpirun inside the allocation",
        launcher.num_processes);
  }
#else
  if (launcher.num_processes > 1) {
    throw InputError(
        "a launcher started {} processes, but this program was built without MPI "
        "(SEQUELA_WITH_MPI=OFF). Start one process, or build with MPI",
        launcher.num_processes);
  }
#endif
  return std::make_unique<SingleWorld>();
}

std::string HostName() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace

World::World() : host_(HostName()) {}
World::~World() = default;

World& World::Start() {
  if (g_world == nullptr) g_world = MakeWorld().release();
  return *g_world;
}

World& World::Instance() {
  if (g_world == nullptr) g_world = std::make_unique<SingleWorld>().release();
  return *g_world;
}

std::string World::Name() const {
  return size_ == 1 ? "" : fmt::format("rank {} on {}", rank_, host_);
}

void World::Abort(int code, std::string_view message) {
  if (rank_ > 0) {
    // One cause often fails all ranks alike: the lowest speaks, and its abort ends the others
    // meanwhile.
    std::this_thread::sleep_for(std::chrono::milliseconds(1000 + 200 * std::min(rank_, 10)));
  }
  if (!message.empty()) fmt::print(stderr, "{}\n", message);
  std::fflush(stdout);
  std::fflush(stderr);
  AbortAll(code);
  ::_exit(code);
}

}  // namespace sequela
