#include "runtime/mpi/mpi_world.h"

#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/base/available_cpus.h"
#include "kernels/base/errors.h"
#include "runtime/mpi/activity_board.h"
#include "runtime/mpi/mpi_communicator.h"

namespace sequela {
namespace {

class MpiWorld : public World {
 public:
  MpiWorld(int expected_size, MakeTensorsOverHost make_gpu_tensors)
      : make_gpu_tensors_(make_gpu_tensors) {
    int provided = 0;
    SEQUELA_MPI(MPI_Init_thread, nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    if (provided < MPI_THREAD_FUNNELED) {
      throw MachineError("this MPI library allows no threads (MPI_THREAD_FUNNELED is needed)");
    }
    SEQUELA_MPI(MPI_Comm_set_errhandler, MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    SEQUELA_MPI(MPI_Comm_rank, MPI_COMM_WORLD, &rank_);
    SEQUELA_MPI(MPI_Comm_size, MPI_COMM_WORLD, &size_);
    if (expected_size != 0 && expected_size != size_) {
      throw InputError(
          "the launcher started {} processes, but MPI connects {} of them: launcher and MPI "
          "library "
          "do not belong together. Use this library's own mpirun, or srun --mpi=pmix",
          expected_size, size_);
    }
    SEQUELA_MPI(MPI_Comm_split_type, MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL,
                &machine_);
    SEQUELA_MPI(MPI_Comm_rank, machine_, &local_rank_);
    SEQUELA_MPI(MPI_Comm_size, machine_, &local_size_);
    available_cpus_ = ShareOfMachine();
    board_.emplace(machine_);
    communicator_ = std::make_unique<MpiCommunicator>(MPI_COMM_WORLD, "training", *board_);
  }

  std::unique_ptr<Communicator> MakeTensorCommunicator(Backend backend, int device_index,
                                                       void* compute_stream) override {
    if (size_ == 1) return MakeSelfCommunicator();
    std::unique_ptr<Communicator> host = communicator_->Duplicate("tensors");
    if (backend == Backend::kCpu) return host;
    return make_gpu_tensors_(*board_, std::move(host), device_index, compute_stream);
  }

  void Finalize() override {
    // However long the slowest rank still works: a dead one would have ended the job.
    communicator_->SetDeadline(std::numeric_limits<double>::infinity());
    communicator_->SetActivity(0, "end");
    communicator_->Barrier();
    board_->Free();
    SEQUELA_MPI(MPI_Finalize);
  }

 protected:
  void AbortAll(int code) override { MPI_Abort(MPI_COMM_WORLD, code); }

 private:
  int ShareOfMachine() const {
    const CpuLimits limits = ReadCpuLimits();
    static_assert(std::is_trivially_copyable_v<CpuMask>);
    std::vector<CpuMask> affinities(static_cast<std::size_t>(local_size_));
    SEQUELA_MPI(MPI_Allgather, &limits.affinity, sizeof(CpuMask), MPI_BYTE, affinities.data(),
                sizeof(CpuMask), MPI_BYTE, machine_);
    return ShareOfCpus(affinities, static_cast<std::size_t>(local_rank_), limits.quota);
  }

  MakeTensorsOverHost make_gpu_tensors_;
  MPI_Comm machine_ = MPI_COMM_NULL;
  std::optional<ActivityBoard> board_;
};

}  // namespace

std::unique_ptr<World> MakeMpiWorld(int expected_size, MakeTensorsOverHost make_gpu_tensors) {
  return std::make_unique<MpiWorld>(expected_size, make_gpu_tensors);
}

}  // namespace sequela
