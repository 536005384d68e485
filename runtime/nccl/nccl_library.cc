#include "runtime/nccl/nccl_library.h"

#include <fmt/format.h>
#include <nccl.h>  // and with it the CUDA runtime, in whose types NCCL speaks

#include <cstdlib>

#include "kernels/base/errors.h"

static_assert(NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 0), "NCCL 2.27 or newer is needed");

namespace sequela {
namespace {

static_assert(static_cast<int>(NcclResult::kSuccess) == ncclSuccess &&
              static_cast<int>(NcclResult::kInProgress) == ncclInProgress);
static_assert(sizeof(NcclUniqueId) == sizeof(ncclUniqueId));

NcclResult Result(ncclResult_t result) { return static_cast<NcclResult>(result); }
ncclComm_t Comm(NcclComm comm) { return static_cast<ncclComm_t>(comm); }
cudaStream_t Stream(CudaStream stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t Event(CudaEvent event) { return static_cast<cudaEvent_t>(event); }

void CheckCuda(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  throw MachineError("{} failed: {}", call, cudaGetErrorString(error));
}
#define SEQUELA_CUDA(function, ...) CheckCuda(function(__VA_ARGS__), #function)

class NcclLibrary final : public NcclApi {
 public:
  // The order in which NCCL adds up depends on the algorithm that it picks, and the in-switch
  // reduction of NVLS promises none: a ring's is fixed. Whoever sets NCCL_ALGO has decided.
  NcclLibrary() { ::setenv("NCCL_ALGO", "Ring", 0); }

  void SetDevice(int device_index) override { SEQUELA_CUDA(cudaSetDevice, device_index); }
  CudaStream CreateStream() override {
    int lowest = 0;
    int highest = 0;
    SEQUELA_CUDA(cudaDeviceGetStreamPriorityRange, &lowest, &highest);
    cudaStream_t stream = nullptr;
    SEQUELA_CUDA(cudaStreamCreateWithPriority, &stream, cudaStreamNonBlocking, highest);
    return stream;
  }
  void DestroyStream(CudaStream stream) noexcept override { cudaStreamDestroy(Stream(stream)); }
  CudaEvent CreateEvent() override {
    cudaEvent_t event = nullptr;
    SEQUELA_CUDA(cudaEventCreateWithFlags, &event, cudaEventDisableTiming);
    return event;
  }
  void DestroyEvent(CudaEvent event) noexcept override { cudaEventDestroy(Event(event)); }
  void RecordEvent(CudaEvent event, CudaStream stream) override {
    SEQUELA_CUDA(cudaEventRecord, Event(event), Stream(stream));
  }
  void StreamWaitEvent(CudaStream stream, CudaEvent event) override {
    SEQUELA_CUDA(cudaStreamWaitEvent, Stream(stream), Event(event), 0);
  }
  bool EventDone(CudaEvent event) override {
    const cudaError_t error = cudaEventQuery(Event(event));
    if (error == cudaErrorNotReady) return false;
    CheckCuda(error, "computing on the GPU");
    return true;
  }

  NcclResult GetUniqueId(NcclUniqueId* id) override {
    return Result(ncclGetUniqueId(reinterpret_cast<ncclUniqueId*>(id)));
  }
  NcclResult CommInitRank(NcclComm* comm, int num_ranks, const NcclUniqueId& id,
                          int rank) override {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclUniqueId nccl_id;
    std::copy(id.bytes.begin(), id.bytes.end(), reinterpret_cast<std::byte*>(&nccl_id));
    ncclComm_t made = nullptr;
    const ncclResult_t result = ncclCommInitRankConfig(&made, num_ranks, nccl_id, rank, &config);
    *comm = made;
    return Result(result);
  }
  NcclResult AsyncError(NcclComm comm) override {
    ncclResult_t state = ncclSuccess;
    const ncclResult_t result = ncclCommGetAsyncError(Comm(comm), &state);
    return Result(result == ncclSuccess ? state : result);
  }
  NcclResult Finalize(NcclComm comm) override { return Result(ncclCommFinalize(Comm(comm))); }
  NcclResult Destroy(NcclComm comm) override { return Result(ncclCommDestroy(Comm(comm))); }
  NcclResult Abort(NcclComm comm) override { return Result(ncclCommAbort(Comm(comm))); }
  std::string ErrorText(NcclResult result, NcclComm comm) override {
    const std::string detail = ncclGetLastError(Comm(comm));
    return fmt::format("NCCL: {}{}{}", ncclGetErrorString(static_cast<ncclResult_t>(result)),
                       detail.empty() ? "" : ": ", detail);
  }

  NcclResult GroupStart() override { return Result(ncclGroupStart()); }
  NcclResult GroupEnd() override { return Result(ncclGroupEnd()); }
  NcclResult AllReduce(const float* send, float* receive, std::size_t count, NcclComm comm,
                       CudaStream stream) override {
    return Result(
        ncclAllReduce(send, receive, count, ncclFloat32, ncclSum, Comm(comm), Stream(stream)));
  }
  NcclResult ReduceScatter(const float* send, float* receive, std::size_t receive_count,
                           NcclComm comm, CudaStream stream) override {
    return Result(ncclReduceScatter(send, receive, receive_count, ncclFloat32, ncclSum, Comm(comm),
                                    Stream(stream)));
  }
  NcclResult Reduce(const float* send, float* receive, std::size_t count, int root, NcclComm comm,
                    CudaStream stream) override {
    return Result(
        ncclReduce(send, receive, count, ncclFloat32, ncclSum, root, Comm(comm), Stream(stream)));
  }
  NcclResult AllGather(const std::byte* send, std::byte* receive, std::size_t send_count,
                       NcclComm comm, CudaStream stream) override {
    return Result(ncclAllGather(send, receive, send_count, ncclUint8, Comm(comm), Stream(stream)));
  }
  NcclResult Broadcast(const std::byte* send, std::byte* receive, std::size_t count, int root,
                       NcclComm comm, CudaStream stream) override {
    return Result(ncclBroadcast(send, receive, count, ncclUint8, root, Comm(comm), Stream(stream)));
  }
};

}  // namespace

NcclApi& NcclLibraryApi() {
  static NcclLibrary library;
  return library;
}

std::string NcclLibraryVersion() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "NCCL of an unknown version";
  return fmt::format("NCCL {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace sequela
