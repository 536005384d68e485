// The Communicator over NCCL, for tensors in the memory of GPUs, one GPU a rank. Two networks in
// one: the nonblocking sums and gathers take device memory and go over NCCL, on a CUDA stream of
// their own; everything else takes host memory and goes over the communicator for the host that
// this one is built upon (MPI), barriers too: what they order is files and decisions.
//
// An operation reads its buffer after everything that was enqueued on the compute stream before
// Start. Wait polls on the host to the deadline: NCCL does not notice a peer that hangs, so no
// other wait of the host may depend on one. It costs a kernel launch or two of idle GPU for each
// wait; and what is enqueued after Wait on any stream sees the result.
//
// Unequal shares, which NCCL does not know, are a group of one Reduce or Broadcast for each share:
// the bytes on each link are those of a ring, and inside a machine sums are formed before they
// cross the network. (Send and Recv between all pairs would allow sums in the order of ranks; with
// eight GPUs a machine it sends up to eight times as much through each network card.) Equal shares
// take NCCL's own ReduceScatter and AllGather.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/communicator.h"
#include "runtime/mpi/activity_board.h"
#include "runtime/nccl/nccl_api.h"

namespace sequela {

// Everything is borrowed.
struct NcclPlace {
  NcclApi& api;
  ActivityBoard& board;
  int device_index = 0;  // of the GPU among those that the process sees
  CudaStream compute_stream = nullptr;
};

// One thread at a time. After a failure the communicator is of no more use: every call on device
// memory throws the same message again.
class NcclCommunicator : public Communicator {
 public:
  // Collective. Throws MachineError on every rank where one is not well or NCCL does not come up
  // within the deadline, which is that of `host`. `name` appears in messages.
  NcclCommunicator(const NcclPlace& place, std::unique_ptr<Communicator> host, std::string name);
  // Waits a bounded time for the other ranks, and not at all where something went wrong.
  ~NcclCommunicator() override;
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  void AllReduceSum(std::span<float> values) override { Host().AllReduceSum(values); }
  void AllReduceSum(std::span<double> values) override { Host().AllReduceSum(values); }
  void AllReduceSum(std::span<std::int64_t> values) override { Host().AllReduceSum(values); }
  void AllReduceMax(std::span<std::int64_t> values) override { Host().AllReduceMax(values); }
  void Broadcast(std::span<std::byte> bytes, int root) override { Host().Broadcast(bytes, root); }
  std::vector<std::vector<std::byte>> AllGather(std::span<const std::byte> mine) override {
    return Host().AllGather(mine);
  }
  void Barrier() override { Host().Barrier(); }

  CommRequest StartAllReduceSum(std::span<float> values) override;
  CommRequest StartReduceScatterSum(std::span<float> values,
                                    std::span<const std::int64_t> offsets) override;
  CommRequest StartAllGather(std::span<std::byte> bytes,
                             std::span<const std::int64_t> offsets) override;
  CommRequest StartBarrier() override;

  // NCCL sums in buffers of its own, of a fixed size.
  std::int64_t SumScratchBytes(std::int64_t, std::int64_t) const override { return 0; }
  void Poll() override;
  bool Done(CommRequest request) override;
  void Wait(CommRequest request) override;

  std::unique_ptr<Communicator> Duplicate(std::string name) override;
  void SetActivity(std::int64_t step, std::string_view doing) override {
    host_->SetActivity(step, doing);
  }

 private:
  // Gives NCCL one call, or a group of them.
  using Issue = std::function<NcclResult()>;
  struct Operation {
    std::int64_t id = 0;
    std::string_view name;  // a literal
    Issue issue;
    CudaEvent ready = nullptr;     // the compute stream has come to Start
    CudaEvent finished = nullptr;  // the operation's kernels have ended
  };

  Communicator& Host();
  // --- start ---
  void Prepare(NcclUniqueId* id);
  void CheckAllAreWell(const std::string& trouble);
  void Connect(const NcclUniqueId& id);
  // --- operations ---
  CommRequest Enqueue(std::string_view name, Issue issue);
  void Launch();
  void Retire();
  bool HasPassed(const Operation& operation, CudaEvent event);
  CudaEvent TakeEvent();
  // --- end ---
  std::string NameOf(const Operation& operation) const;
  std::string Others() const;
  [[noreturn]] void FailWaiting();
  [[noreturn]] void FailWith(std::string_view what, NcclResult error);
  [[noreturn]] void Fail(const std::string& message);
  void CheckAlive() const;
  void Abort();
  bool Close();  // false where it did not end in time

  NcclApi& api_;
  ActivityBoard& board_;
  int device_index_;
  CudaStream compute_stream_;
  std::unique_ptr<Communicator> host_;
  std::string name_;
  NcclComm comm_ = nullptr;
  CudaStream stream_ = nullptr;
  std::string failure_;  // empty: alive
  std::int64_t last_started_ = 0;
  std::int64_t last_finished_ = 0;
  std::deque<Operation> waiting_;   // not yet given to NCCL
  std::deque<Operation> launched_;  // on the stream, in its order
  bool launching_ = false;          // the last of `launched_` is still on its way there
  std::vector<CudaEvent> free_events_;
};

}  // namespace sequela
