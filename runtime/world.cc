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

#include "kernels/base/available_cpus.h"
#include "kernels/base/errors.h"
#include "runtime/launcher.h"
#include "runtime/log.h"
#ifdef SEQUELA_WITH_MPI
#include "runtime/mpi/mpi_world.h"
#include "runtime/nccl/nccl_tensors.h"
#endif

namespace sequela {
namespace {

// Owned for the life of the process and never destroyed: MPI objects must not be freed after
// MPI_Finalize, nor by a failing rank.
World* g_world = nullptr;
bool g_started = false;  // by Start()

class SingleWorld : public World {
 public:
  SingleWorld() {
    communicator_ = MakeSelfCommunicator();
    available_cpus_ = AvailableCpus();
  }
  std::unique_ptr<Communicator> MakeTensorCommunicator(Backend, int, void*) override {
    return MakeSelfCommunicator();
  }
  void Finalize() override {}

 protected:
  void AbortAll(int) override {}
};

// Each of several processes that cannot find each other would train alone, all in one folder.
[[noreturn]] void RefuseLauncher(const Launcher& launcher) {
#ifdef SEQUELA_WITH_MPI
  throw InputError(
      "{} started {} processes ({}), but gave them no way to find each other by MPI. Use MPI's own "
      "mpirun (launch/mpirun.sh on one machine, also inside an allocation), or srun --mpi=pmix; "
      "where this process is meant to be alone, unset {}",
      launcher.name, launcher.num_processes, launcher.variable,
      launcher.variable.substr(0, launcher.variable.find('=')));
#else
  throw InputError(
      "{} started {} processes ({}), but this program was built without MPI "
      "(SEQUELA_WITH_MPI=OFF). Start one process, or build with MPI",
      launcher.name, launcher.num_processes, launcher.variable);
#endif
}

std::unique_ptr<World> MakeWorld() {
  Launcher launcher = FindLauncher();
#ifdef SEQUELA_WITH_MPI
  if (launcher.speaks_mpi) return MakeMpiWorld(launcher.num_processes, MakeNcclTensors);
#else
  if (launcher.speaks_mpi) launcher.name = "MPI's launcher";
#endif
  if (launcher.num_processes > 1) RefuseLauncher(launcher);
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
  g_started = true;
  return *g_world;
}

World* World::Started() { return g_started ? g_world : nullptr; }

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
  PrintError(message);
  std::fflush(stdout);
  std::fflush(stderr);
  AbortAll(code);
  ::_exit(code);
}

}  // namespace sequela
