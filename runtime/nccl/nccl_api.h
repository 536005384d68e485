// The part of NCCL and the few CUDA calls that NcclCommunicator is made of, in types of our own, so
// that it compiles and is tested without either (tests/testing/fake_nccl.h). The real one is in
// nccl_library.cc, the only file that includes nccl.h.
#pragma once

#include <array>
#include <cstddef>
#include <string>

namespace sequela {

using NcclComm = void*;
using CudaStream = void*;
using CudaEvent = void*;

struct NcclUniqueId {
  std::array<std::byte, 128> bytes{};
};

// The values are NCCL's. Everything but these two is an error (NcclApi::ErrorText).
enum class NcclResult : int { kSuccess = 0, kInProgress = 7 };

// Communicators are non-blocking: kInProgress says that the call goes on by itself; AsyncError then
// tells how, and the communicator takes no other call before that.
//
// One thread at a time, except Finalize, Destroy and Abort with the AsyncError between them, which
// may come from another thread while the first is elsewhere.
class NcclApi {
 public:
  virtual ~NcclApi() = default;

  // --- CUDA; these throw MachineError ---
  virtual void SetDevice(int device_index) = 0;  // of the calling thread
  // Its kernels go before those of other streams where both are ready.
  virtual CudaStream CreateStream() = 0;
  virtual void DestroyStream(CudaStream stream) noexcept = 0;
  virtual CudaEvent CreateEvent() = 0;
  virtual void DestroyEvent(CudaEvent event) noexcept = 0;
  virtual void RecordEvent(CudaEvent event, CudaStream stream) = 0;
  virtual void StreamWaitEvent(CudaStream stream, CudaEvent event) = 0;
  virtual bool EventDone(CudaEvent event) = 0;

  // --- NCCL ---
  virtual NcclResult GetUniqueId(NcclUniqueId* id) = 0;
  virtual NcclResult CommInitRank(NcclComm* comm, int num_ranks, const NcclUniqueId& id,
                                  int rank) = 0;
  // kInProgress, kSuccess or what went wrong since.
  virtual NcclResult AsyncError(NcclComm comm) = 0;
  // These three may take long, or for ever, although they should not.
  virtual NcclResult Finalize(NcclComm comm) = 0;
  virtual NcclResult Destroy(NcclComm comm) = 0;
  virtual NcclResult Abort(NcclComm comm) = 0;
  // In words; `comm` may be null.
  virtual std::string ErrorText(NcclResult result, NcclComm comm) = 0;

  virtual NcclResult GroupStart() = 0;
  virtual NcclResult GroupEnd() = 0;
  // Sums are of fp32. Counts are elements. In place where NCCL allows it: `send` equal to
  // `receive`, or to this rank's part of the larger one.
  virtual NcclResult AllReduce(const float* send, float* receive, std::size_t count, NcclComm comm,
                               CudaStream stream) = 0;
  virtual NcclResult ReduceScatter(const float* send, float* receive, std::size_t receive_count,
                                   NcclComm comm, CudaStream stream) = 0;
  virtual NcclResult Reduce(const float* send, float* receive, std::size_t count, int root,
                            NcclComm comm, CudaStream stream) = 0;
  virtual NcclResult AllGather(const std::byte* send, std::byte* receive, std::size_t send_count,
                               NcclComm comm, CudaStream stream) = 0;
  virtual NcclResult Broadcast(const std::byte* send, std::byte* receive, std::size_t count,
                               int root, NcclComm comm, CudaStream stream) = 0;
};

// The library's; null in a build without NCCL.
NcclApi* ChosenNcclApi();
// Puts `api` in its place for communicators that are made from now on; null puts it back. Borrowed.
void TEST_SetNcclApi(NcclApi* api);

}  // namespace sequela
