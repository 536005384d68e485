// NCCL and CUDA streams without either: "device" memory is the host's, and the ranks of the test
// exchange over a communicator of theirs. What is enqueued on a stream happens later, in order,
// while the program polls; a collective is put on its stream only a few polls after the call, as
// non-blocking NCCL does. Every rule of the real thing that NcclCommunicator could break is checked
// (misuse). And any call can go wrong.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/communicator.h"
#include "runtime/nccl/nccl_api.h"

namespace sequela::testing {

enum class NcclFault {
  kNone,
  kThrow,  // MachineError: what a CUDA call does
  kFail,   // the call returns an error
  kAsync,  // the call is accepted; the error comes later, by AsyncError
  kHang,   // what was asked for never ends; Finalize, Destroy and Abort do not return
  kLag,    // it takes a fifth of a second longer
  kDie     // the process is killed in the call
};

// The `fault` of the call of this name ("AllReduce"; names are NcclApi's) that comes after `skip`
// others of that name.
struct NcclPlan {
  std::string call;
  NcclFault fault = NcclFault::kNone;
  int skip = 0;
};

// One thread at a time, except as NcclApi says.
class FakeNccl : public NcclApi {
 public:
  // Collective: `parent` is duplicated.
  FakeNccl(Communicator& parent, std::vector<NcclPlan> plans);

  // Work on a stream that is done when it returns true: it is called again and again until then.
  using Work = std::function<bool()>;
  void Enqueue(CudaStream stream, Work work);
  // What was called against the rules, "" so far.
  const std::string& misuse() const { return misuse_; }
  // Streams, events and communicators that are not given back.
  int num_alive() const { return num_alive_; }

  void SetDevice(int device_index) override;
  CudaStream CreateStream() override;
  void DestroyStream(CudaStream stream) noexcept override;
  CudaEvent CreateEvent() override;
  void DestroyEvent(CudaEvent event) noexcept override;
  void RecordEvent(CudaEvent event, CudaStream stream) override;
  void StreamWaitEvent(CudaStream stream, CudaEvent event) override;
  bool EventDone(CudaEvent event) override;

  NcclResult GetUniqueId(NcclUniqueId* id) override;
  NcclResult CommInitRank(NcclComm* comm, int num_ranks, const NcclUniqueId& id, int rank) override;
  NcclResult AsyncError(NcclComm comm) override;
  NcclResult Finalize(NcclComm comm) override;
  NcclResult Destroy(NcclComm comm) override;
  NcclResult Abort(NcclComm comm) override;
  std::string ErrorText(NcclResult result, NcclComm comm) override;

  NcclResult GroupStart() override;
  NcclResult GroupEnd() override;
  NcclResult AllReduce(const float* send, float* receive, std::size_t count, NcclComm comm,
                       CudaStream stream) override;
  NcclResult ReduceScatter(const float* send, float* receive, std::size_t receive_count,
                           NcclComm comm, CudaStream stream) override;
  NcclResult Reduce(const float* send, float* receive, std::size_t count, int root, NcclComm comm,
                    CudaStream stream) override;
  NcclResult AllGather(const std::byte* send, std::byte* receive, std::size_t send_count,
                       NcclComm comm, CudaStream stream) override;
  NcclResult Broadcast(const std::byte* send, std::byte* receive, std::size_t count, int root,
                       NcclComm comm, CudaStream stream) override;

 private:
  struct Stream {
    std::deque<Work> work;
  };
  struct Event {
    std::int64_t recorded = 0;
    std::int64_t reached = 0;
  };
  // The one communicator.
  struct Comm {
    NcclResult state = NcclResult::kSuccess;
    NcclResult next_state = NcclResult::kSuccess;  // once `polls_left` is 0
    int polls_left = 0;
    Work connecting;                                   // until it is done the state stays
    std::vector<std::pair<CudaStream, Work>> pending;  // for the streams, once the state is success
  };

  NcclFault FaultOf(std::string_view call);
  NcclResult Misuse(std::string_view what);
  NcclResult InProgress(NcclFault fault);
  // start() begins the exchange; finish() copies its result.
  NcclResult Collective(std::string_view call, CudaStream stream,
                        std::function<CommRequest()> start, std::function<void()> finish);
  std::vector<std::int64_t> AllToRoot(std::size_t size, int root) const;
  void Progress();

  std::unique_ptr<Communicator> transport_;
  std::vector<NcclPlan> plans_;
  std::string misuse_;
  int num_alive_ = 0;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<std::unique_ptr<Event>> events_;
  Comm comm_;
  bool connected_ = false;
  int group_depth_ = 0;
  NcclFault group_fault_ = NcclFault::kNone;
};

}  // namespace sequela::testing
