// The process among its peers. MPI is started only inside a launcher's environment (mpirun, srun);
// elsewhere, and in a build without MPI, the world is this one process. There is one World per
// process, as there is one MPI: Start() makes it (launch/main.cc), Instance() finds it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "kernels/exec.h"
#include "runtime/communicator.h"

namespace sequela {

// One thread at a time, except Abort.
class World {
 public:
  // Starts MPI (at least MPI_THREAD_FUNNELED) where a launcher asks for it. Throws InputError where
  // a launcher started several processes that cannot find each other (runtime/launcher.h), or this
  // build has no MPI; MachineError where MPI fails.
  // A second call returns the same World.
  static World& Start();
  // The World; a world of one process (no MPI) where Start() was never called: unit tests.
  static World& Instance();
  // What Start() made; null before.
  static World* Started();

  virtual ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  // Rank and number of ranks among those that share this machine's memory.
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }
  const std::string& host() const { return host_; }
  // Processors that this rank may keep busy: kernels/base/available_cpus.h, among the ranks of its
  // machine. At least 1.
  int available_cpus() const { return available_cpus_; }
  // "rank 2 on node7" for messages; "" in a world of one.
  std::string Name() const;

  // The communicator of all ranks, for memory of the host; lives as long as the World.
  Communicator& communicator() { return *communicator_; }

  // A communicator of all ranks for tensors of this device: of a GPU over NCCL where there are
  // several ranks; its index and compute stream are given. Collective. Throws
  // InputError where this build has no NCCL for them, MachineError on all ranks where one of them
  // is not well. To be destroyed before Finalize.
  virtual std::unique_ptr<Communicator> MakeTensorCommunicator(Backend backend, int device_index,
                                                               void* compute_stream) = 0;

  // Ends the whole job at once with this exit code, without MPI_Finalize: the other ranks may hang
  // in a collective. From any thread. A failing rank other than 0 first waits about a second for
  // the others to fail on their own, so that one message about one cause is seen: `message` is
  // printed to standard error only by the rank that gets here first. In a world of one: prints, and
  // exits with the code.
  [[noreturn]] void Abort(int code, std::string_view message);

  // Waits for every rank, then ends MPI. Every rank calls it, or none does.
  virtual void Finalize() = 0;

 protected:
  World();
  // Kills every other rank of the job.
  virtual void AbortAll(int code) = 0;

  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
  int local_size_ = 1;
  int available_cpus_ = 1;
  std::string host_;
  std::unique_ptr<Communicator> communicator_;
};

}  // namespace sequela
