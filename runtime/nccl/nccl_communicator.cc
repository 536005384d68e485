#include "runtime/nccl/nccl_communicator.h"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <future>
#include <thread>
#include <utility>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "runtime/log.h"
#include "runtime/poll_until.h"

namespace sequela {
namespace {

// How long NCCL may take to abort, or to close at the end. Either can hang.
constexpr double kEndSeconds = 3;

bool IsError(NcclResult result) {
  return result != NcclResult::kSuccess && result != NcclResult::kInProgress;
}

// Runs `action` on a thread of its own; false where it is not over in time. It then goes on for as
// long as the process lives, so it must own what it uses.
bool FinishesWithin(double seconds, std::function<void()> action) {
  auto finished = std::make_shared<std::promise<void>>();
  const std::future<void> future = finished->get_future();
  std::thread([finished, action = std::move(action)] {
    action();
    finished->set_value();
  }).detach();
  return future.wait_for(std::chrono::duration<double>(seconds)) == std::future_status::ready;
}

// size() + 1 offsets of the ranks' shares.
class Shares {
 public:
  explicit Shares(std::span<const std::int64_t> offsets)
      : offsets_(offsets.begin(), offsets.end()) {}

  std::size_t begin(int rank) const {
    return static_cast<std::size_t>(offsets_[static_cast<std::size_t>(rank)]);
  }
  std::size_t size(int rank) const { return begin(rank + 1) - begin(rank); }
  bool are_equal() const {
    for (int rank = 1; rank < num_ranks(); ++rank) {
      if (size(rank) != size(0)) return false;
    }
    return true;
  }

  // One group of call(rank) for every rank whose share is not empty.
  template <typename Call>
  NcclResult Group(NcclApi& api, const Call& call) const {
    NcclResult result = api.GroupStart();
    for (int rank = 0; rank < num_ranks() && !IsError(result); ++rank) {
      if (size(rank) > 0) result = call(rank);
    }
    const NcclResult end = api.GroupEnd();
    return IsError(result) ? result : end;
  }

 private:
  int num_ranks() const { return static_cast<int>(offsets_.size()) - 1; }
  std::vector<std::int64_t> offsets_;
};

}  // namespace

NcclCommunicator::NcclCommunicator(const NcclPlace& place, std::unique_ptr<Communicator> host,
                                   std::string name)
    : api_(place.api),
      board_(place.board),
      device_index_(place.device_index),
      compute_stream_(place.compute_stream),
      host_(std::move(host)),
      name_(std::move(name)) {
  rank_ = host_->rank();
  size_ = host_->size();
  SetDeadline(host_->deadline_seconds());
  NcclUniqueId id;
  std::string trouble;
  try {
    Prepare(&id);
  } catch (const MachineError& error) {
    trouble = error.what();
  }
  // A rank that never comes would leave the others waiting inside NCCL.
  CheckAllAreWell(trouble);
  Host().Broadcast(id.bytes, 0);
  Connect(id);
}

NcclCommunicator::~NcclCommunicator() {
  // After a failure the process ends: nothing is given back, for that could hang as well.
  if (!failure_.empty()) return;
  if (!launched_.empty() || !waiting_.empty() || std::uncaught_exceptions() > 0) {
    Abort();
  } else if (Close()) {
    for (const CudaEvent event : free_events_) api_.DestroyEvent(event);
    api_.DestroyStream(stream_);
  }
}

Communicator& NcclCommunicator::Host() {
  host_->SetDeadline(deadline_seconds_);
  return *host_;
}

void NcclCommunicator::Prepare(NcclUniqueId* id) {
  api_.SetDevice(device_index_);
  stream_ = api_.CreateStream();
  if (rank_ != 0) return;
  const NcclResult result = api_.GetUniqueId(id);
  if (result != NcclResult::kSuccess) throw MachineError(api_.ErrorText(result, nullptr));
}

void NcclCommunicator::CheckAllAreWell(const std::string& trouble) {
  const std::vector<std::string> troubles = Host().AllGatherText(trouble);
  std::vector<std::string> lines;
  for (int rank = 0; rank < size_; ++rank) {
    const std::string& text = troubles[static_cast<std::size_t>(rank)];
    if (!text.empty()) lines.push_back(fmt::format("{}: {}", board_.Describe(rank), text));
  }
  if (lines.empty()) return;
  failure_ = fmt::format("NCCL ({}) was not started, for not all ranks are well: {}", name_,
                         fmt::join(lines, "; "));
  throw MachineError(failure_);
}

void NcclCommunicator::Connect(const NcclUniqueId& id) {
  const std::string name = fmt::format("the start of NCCL ({})", name_);
  board_.SetWaiting("the start of NCCL");
  NcclResult state = api_.CommInitRank(&comm_, size_, id, rank_);
  if (IsError(state)) FailWith(name, state);
  const bool in_time = PollUntil(deadline_seconds_, [&] {
    state = api_.AsyncError(comm_);
    return state != NcclResult::kInProgress;
  });
  if (!in_time) {
    Fail(fmt::format("{} waited more than {:.0f} s{}", name, deadline_seconds_, Others()));
  }
  if (IsError(state)) FailWith(name, state);
  board_.SetWaiting("");
}

CommRequest NcclCommunicator::StartAllReduceSum(std::span<float> values) {
  if (values.empty()) return {};
  return Enqueue("all-reduce", [this, values] {
    return api_.AllReduce(values.data(), values.data(), values.size(), comm_, stream_);
  });
}

CommRequest NcclCommunicator::StartReduceScatterSum(std::span<float> values,
                                                    std::span<const std::int64_t> offsets) {
  SEQUELA_CHECK(std::ssize(offsets) == size_ + 1 && offsets.back() == std::ssize(values));
  if (values.empty()) return {};
  return Enqueue("reduce-scatter", [this, data = values.data(), shares = Shares(offsets)] {
    if (shares.are_equal()) {
      return api_.ReduceScatter(data, data + shares.begin(rank_), shares.size(rank_), comm_,
                                stream_);
    }
    return shares.Group(api_, [&](int root) {
      float* const share = data + shares.begin(root);
      return api_.Reduce(share, share, shares.size(root), root, comm_, stream_);
    });
  });
}

CommRequest NcclCommunicator::StartAllGather(std::span<std::byte> bytes,
                                             std::span<const std::int64_t> offsets) {
  SEQUELA_CHECK(std::ssize(offsets) == size_ + 1 && offsets.back() == std::ssize(bytes));
  if (bytes.empty()) return {};
  return Enqueue("all-gather", [this, data = bytes.data(), shares = Shares(offsets)] {
    if (shares.are_equal()) {
      return api_.AllGather(data + shares.begin(rank_), data, shares.size(rank_), comm_, stream_);
    }
    return shares.Group(api_, [&](int root) {
      std::byte* const share = data + shares.begin(root);
      return api_.Broadcast(share, share, shares.size(root), root, comm_, stream_);
    });
  });
}

// The host's requests are the negative ones.
CommRequest NcclCommunicator::StartBarrier() { return {-Host().StartBarrier().id}; }

CommRequest NcclCommunicator::Enqueue(std::string_view name, Issue issue) {
  CheckAlive();
  const std::int64_t id = ++last_started_;
  Operation& operation = waiting_.emplace_back();
  operation.id = id;
  operation.name = name;
  operation.issue = std::move(issue);
  operation.ready = TakeEvent();
  api_.RecordEvent(operation.ready, compute_stream_);
  Launch();  // perhaps of this one, which is then elsewhere
  return {id};
}

CudaEvent NcclCommunicator::TakeEvent() {
  if (free_events_.empty()) return api_.CreateEvent();
  const CudaEvent event = free_events_.back();
  free_events_.pop_back();
  return event;
}

// A non-blocking call has put its kernels on the stream only when its state says so (the first ones
// connect to the other ranks meanwhile): an event recorded earlier would not stand behind them.
void NcclCommunicator::Launch() {
  while (true) {
    if (launching_) {
      Operation& last = launched_.back();
      const NcclResult state = api_.AsyncError(comm_);
      if (state == NcclResult::kInProgress) return;
      if (IsError(state)) FailWith(NameOf(last), state);
      last.finished = TakeEvent();
      api_.RecordEvent(last.finished, stream_);
      launching_ = false;
    }
    if (waiting_.empty()) return;
    launched_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    Operation& next = launched_.back();
    api_.StreamWaitEvent(stream_, next.ready);
    const NcclResult result = next.issue();
    if (IsError(result)) FailWith(NameOf(next), result);
    launching_ = true;
  }
}

bool NcclCommunicator::HasPassed(const Operation& operation, CudaEvent event) {
  try {
    return api_.EventDone(event);
  } catch (const MachineError& error) {
    Fail(fmt::format("{} failed: {}{}", NameOf(operation), error.what(), Others()));
  }
}

// On one stream operations end in the order of their launching.
void NcclCommunicator::Retire() {
  while (!launched_.empty()) {
    const Operation& oldest = launched_.front();
    if (oldest.finished == nullptr || !HasPassed(oldest, oldest.finished)) return;
    free_events_.insert(free_events_.end(), {oldest.ready, oldest.finished});
    last_finished_ = oldest.id;
    launched_.pop_front();
  }
}

void NcclCommunicator::Poll() {
  CheckAlive();
  host_->Poll();
  Launch();
  Retire();
  if (launched_.empty() || launching_) return;
  const NcclResult state = api_.AsyncError(comm_);
  if (IsError(state)) FailWith(NameOf(launched_.front()), state);
}

bool NcclCommunicator::Done(CommRequest request) {
  if (request.id < 0) return Host().Done({-request.id});
  if (request.id <= last_finished_) return true;
  Poll();
  return request.id <= last_finished_;
}

void NcclCommunicator::Wait(CommRequest request) {
  if (request.id < 0) return Host().Wait({-request.id});
  if (Done(request)) return;
  board_.SetWaiting(launched_.front().name);
  if (!PollUntil(deadline_seconds_, [&] { return Done(request); })) FailWaiting();
  board_.SetWaiting("");
}

std::unique_ptr<Communicator> NcclCommunicator::Duplicate(std::string name) {
  return Host().Duplicate(std::move(name));
}

std::string NcclCommunicator::NameOf(const Operation& operation) const {
  return fmt::format("{} of step {} ({}, operation {})", operation.name, board_.step(), name_,
                     operation.id);
}

// What the other ranks are doing, to follow a message.
std::string NcclCommunicator::Others() const {
  std::vector<std::string> others;
  for (int rank = 0; rank < size_; ++rank) {
    if (rank != rank_) others.push_back(board_.Describe(rank));
  }
  return others.empty() ? "" : fmt::format("; the other ranks: {}", fmt::join(others, ", "));
}

void NcclCommunicator::FailWaiting() {
  // The oldest operation is the one that holds up the others.
  const Operation& oldest = launched_.front();
  const bool was_ready = HasPassed(oldest, oldest.ready);
  Fail(fmt::format("{} waited more than {:.0f} s{}{}", NameOf(oldest), deadline_seconds_,
                   was_ready ? "" : ", and this rank's GPU has not even come to it", Others()));
}

void NcclCommunicator::FailWith(std::string_view what, NcclResult error) {
  Fail(fmt::format("{} failed: {}{}", what, api_.ErrorText(error, comm_), Others()));
}

void NcclCommunicator::Fail(const std::string& message) {
  failure_ = message;
  Abort();
  throw MachineError(failure_);
}

void NcclCommunicator::CheckAlive() const {
  if (!failure_.empty()) throw MachineError(failure_);
}

void NcclCommunicator::Abort() {
  if (comm_ == nullptr) return;
  FinishesWithin(kEndSeconds, [api = &api_, comm = comm_] { api->Abort(comm); });
}

bool NcclCommunicator::Close() {
  const bool closed = FinishesWithin(kEndSeconds, [api = &api_, comm = comm_] {
    const bool is_quiet = !IsError(api->Finalize(comm)) && PollUntil(kEndSeconds / 2, [&] {
      return api->AsyncError(comm) != NcclResult::kInProgress;
    });
    if (is_quiet) {
      api->Destroy(comm);
    } else {
      api->Abort(comm);
    }
  });
  if (!closed)
    LogWarning("NCCL ({}) did not close in {} s and is left as it is", name_, kEndSeconds);
  return closed;
}

}  // namespace sequela
