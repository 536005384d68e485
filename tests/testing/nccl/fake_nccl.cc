#include "tests/testing/nccl/fake_nccl.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

#include "kernels/base/errors.h"
#include "runtime/step_timer.h"

namespace sequela::testing {
namespace {

constexpr NcclResult kSystemError{2};
constexpr NcclResult kInvalidUsage{5};
constexpr NcclResult kRemoteError{6};
constexpr int kPollsToLaunch = 3;
constexpr double kLagSeconds = 0.2;

FakeNccl::Work After(double seconds, FakeNccl::Work work) {
  return [seconds, work = std::move(work), watch = Stopwatch()] {
    return watch.Seconds() >= seconds && work();
  };
}

[[noreturn]] void SleepForEver() {
  while (true) std::this_thread::sleep_for(std::chrono::hours(1));
}

}  // namespace

FakeNccl::FakeNccl(Communicator& parent, std::vector<NcclPlan> plans)
    : transport_(parent.Duplicate("fake NCCL")), plans_(std::move(plans)) {}

NcclFault FakeNccl::FaultOf(std::string_view call) {
  for (NcclPlan& plan : plans_) {
    if (call != plan.call || plan.skip-- != 0) continue;
    if (plan.fault == NcclFault::kDie) std::raise(SIGKILL);
    if (plan.fault == NcclFault::kThrow) throw MachineError("{} failed: on purpose", call);
    return plan.fault;
  }
  return NcclFault::kNone;
}

NcclResult FakeNccl::Misuse(std::string_view what) {
  misuse_ += fmt::format("{}\n", what);
  return kInvalidUsage;
}

// --- streams ---

void FakeNccl::Enqueue(CudaStream stream, Work work) {
  if (stream == nullptr) {
    while (!work()) std::this_thread::yield();
    return;
  }
  static_cast<Stream*>(stream)->work.push_back(std::move(work));
}

void FakeNccl::Progress() {
  for (const auto& stream : streams_) {
    while (!stream->work.empty() && stream->work.front()()) stream->work.pop_front();
  }
}

void FakeNccl::SetDevice(int) { FaultOf("SetDevice"); }

CudaStream FakeNccl::CreateStream() {
  ++num_alive_;
  return streams_.emplace_back(std::make_unique<Stream>()).get();
}

void FakeNccl::DestroyStream(CudaStream stream) noexcept {
  if (!static_cast<Stream*>(stream)->work.empty()) Misuse("a stream with work was destroyed");
  --num_alive_;
}

CudaEvent FakeNccl::CreateEvent() {
  ++num_alive_;
  return events_.emplace_back(std::make_unique<Event>()).get();
}

void FakeNccl::DestroyEvent(CudaEvent) noexcept { --num_alive_; }

void FakeNccl::RecordEvent(CudaEvent event, CudaStream stream) {
  auto* const e = static_cast<Event*>(event);
  const std::int64_t point = ++e->recorded;
  Enqueue(stream, [e, point] {
    e->reached = std::max(e->reached, point);
    return true;
  });
}

void FakeNccl::StreamWaitEvent(CudaStream stream, CudaEvent event) {
  const auto* const e = static_cast<const Event*>(event);
  Enqueue(stream, [e, point = e->recorded] { return e->reached >= point; });
}

bool FakeNccl::EventDone(CudaEvent event) {
  FaultOf("EventDone");
  Progress();
  const auto* const e = static_cast<const Event*>(event);
  return e->reached == e->recorded;
}

// --- the communicator ---

NcclResult FakeNccl::InProgress(NcclFault fault) {
  comm_.state = NcclResult::kInProgress;
  comm_.next_state = fault == NcclFault::kAsync ? kRemoteError : NcclResult::kSuccess;
  comm_.polls_left = kPollsToLaunch;
  return NcclResult::kInProgress;
}

NcclResult FakeNccl::GetUniqueId(NcclUniqueId* id) {
  if (FaultOf("GetUniqueId") == NcclFault::kFail) return kSystemError;
  id->bytes.fill(std::byte{42});
  return NcclResult::kSuccess;
}

NcclResult FakeNccl::CommInitRank(NcclComm* comm, int num_ranks, const NcclUniqueId& id, int rank) {
  const NcclFault fault = FaultOf("CommInitRank");
  if (num_ranks != transport_->size() || rank != transport_->rank()) return Misuse("who is who");
  if (id.bytes.back() != std::byte{42}) return Misuse("the unique id did not arrive");
  if (fault == NcclFault::kFail) return kSystemError;
  *comm = &comm_;
  ++num_alive_;
  connected_ = true;
  if (fault == NcclFault::kHang) {
    comm_.connecting = [] { return false; };
  } else {
    comm_.connecting = [this, request = transport_->StartBarrier()] {
      return transport_->Done(request);
    };
    if (fault == NcclFault::kLag) comm_.connecting = After(kLagSeconds, comm_.connecting);
  }
  return InProgress(fault);
}

NcclResult FakeNccl::AsyncError(NcclComm) {
  if (comm_.state != NcclResult::kInProgress) return comm_.state;
  if (comm_.polls_left-- > 0) return comm_.state;
  if (comm_.connecting && !comm_.connecting()) return comm_.state;
  comm_.connecting = nullptr;
  comm_.state = comm_.next_state;
  if (comm_.state == NcclResult::kSuccess) {
    for (auto& [stream, work] : comm_.pending) Enqueue(stream, std::move(work));
  }
  comm_.pending.clear();
  return comm_.state;
}

NcclResult FakeNccl::Finalize(NcclComm) {
  const NcclFault fault = FaultOf("Finalize");
  if (fault == NcclFault::kHang) SleepForEver();
  if (fault == NcclFault::kFail) return kSystemError;
  if (comm_.state != NcclResult::kSuccess) return Misuse("Finalize while something is under way");
  return InProgress(fault);
}

NcclResult FakeNccl::Destroy(NcclComm) {
  if (FaultOf("Destroy") == NcclFault::kHang) SleepForEver();
  if (comm_.state != NcclResult::kSuccess) return Misuse("Destroy before Finalize has ended");
  connected_ = false;
  --num_alive_;
  return NcclResult::kSuccess;
}

NcclResult FakeNccl::Abort(NcclComm) {
  if (FaultOf("Abort") == NcclFault::kHang) SleepForEver();
  connected_ = false;
  --num_alive_;
  return NcclResult::kSuccess;
}

std::string FakeNccl::ErrorText(NcclResult result, NcclComm) {
  return fmt::format("NCCL: error {} of the fake", static_cast<int>(result));
}

// --- collectives ---

NcclResult FakeNccl::GroupStart() {
  if (group_depth_++ != 0) return Misuse("a group in a group");
  group_fault_ = NcclFault::kNone;
  return NcclResult::kSuccess;
}

NcclResult FakeNccl::GroupEnd() {
  --group_depth_;
  const NcclFault fault = FaultOf("GroupEnd");
  if (fault == NcclFault::kFail) return kSystemError;
  return InProgress(fault == NcclFault::kNone ? group_fault_ : fault);
}

NcclResult FakeNccl::Collective(std::string_view call, CudaStream stream,
                                std::function<CommRequest()> start, std::function<void()> finish) {
  const NcclFault fault = FaultOf(call);
  if (fault == NcclFault::kFail) return kSystemError;
  if (!connected_) return Misuse("a collective without a communicator");
  if (comm_.state != NcclResult::kSuccess)
    return Misuse("a collective before the last was accepted");
  Work work = [this, start = std::move(start), finish = std::move(finish), started = false,
               request = CommRequest{}]() mutable {
    if (!started) request = start();
    started = true;
    if (!transport_->Done(request)) return false;
    finish();
    return true;
  };
  if (fault == NcclFault::kHang) work = [] { return false; };
  if (fault == NcclFault::kLag) work = After(kLagSeconds, std::move(work));
  comm_.pending.emplace_back(stream, std::move(work));
  if (group_depth_ == 0) return InProgress(fault);
  if (fault == NcclFault::kAsync) group_fault_ = fault;
  return NcclResult::kSuccess;
}

NcclResult FakeNccl::AllReduce(const float* send, float* receive, std::size_t count, NcclComm,
                               CudaStream stream) {
  return Collective(
      "AllReduce", stream,
      [=, this] {
        std::copy_n(send, send == receive ? 0 : count, receive);
        return transport_->StartAllReduceSum({receive, count});
      },
      [] {});
}

// Sums are formed aside: NCCL writes nothing but the receiver's buffer.
NcclResult FakeNccl::ReduceScatter(const float* send, float* receive, std::size_t receive_count,
                                   NcclComm, CudaStream stream) {
  const auto ranks = static_cast<std::size_t>(transport_->size());
  const auto aside = std::make_shared<std::vector<float>>(receive_count * ranks);
  std::vector<std::int64_t> offsets;
  for (std::size_t i = 0; i <= ranks; ++i) {
    offsets.push_back(static_cast<std::int64_t>(i * receive_count));
  }
  return Collective(
      "ReduceScatter", stream,
      [=, this] {
        std::copy_n(send, aside->size(), aside->begin());
        return transport_->StartReduceScatterSum(*aside, offsets);
      },
      [=, this] {
        std::copy_n(aside->begin() + offsets[static_cast<std::size_t>(transport_->rank())],
                    receive_count, receive);
      });
}

// Offsets of an exchange in which `root` has everything.
std::vector<std::int64_t> FakeNccl::AllToRoot(std::size_t size, int root) const {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(transport_->size()) + 1, 0);
  std::fill(offsets.begin() + root + 1, offsets.end(), static_cast<std::int64_t>(size));
  return offsets;
}

NcclResult FakeNccl::Reduce(const float* send, float* receive, std::size_t count, int root,
                            NcclComm, CudaStream stream) {
  const auto aside = std::make_shared<std::vector<float>>(count);
  return Collective(
      "Reduce", stream,
      [=, this] {
        std::copy_n(send, count, aside->begin());
        return transport_->StartReduceScatterSum(*aside, AllToRoot(count, root));
      },
      [=, this] {
        if (transport_->rank() == root) std::copy_n(aside->begin(), count, receive);
      });
}

NcclResult FakeNccl::AllGather(const std::byte* send, std::byte* receive, std::size_t send_count,
                               NcclComm, CudaStream stream) {
  const auto ranks = static_cast<std::size_t>(transport_->size());
  return Collective(
      "AllGather", stream,
      [=, this] {
        std::byte* const mine = receive + static_cast<std::size_t>(transport_->rank()) * send_count;
        if (send != mine) std::copy_n(send, send_count, mine);
        std::vector<std::int64_t> offsets;
        for (std::size_t i = 0; i <= ranks; ++i) {
          offsets.push_back(static_cast<std::int64_t>(i * send_count));
        }
        return transport_->StartAllGather({receive, ranks * send_count}, offsets);
      },
      [] {});
}

NcclResult FakeNccl::Broadcast(const std::byte* send, std::byte* receive, std::size_t count,
                               int root, NcclComm, CudaStream stream) {
  return Collective(
      "Broadcast", stream,
      [=, this] {
        if (transport_->rank() == root && send != receive) std::copy_n(send, count, receive);
        return transport_->StartAllGather({receive, count}, AllToRoot(count, root));
      },
      [] {});
}

}  // namespace sequela::testing
