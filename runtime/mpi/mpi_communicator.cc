#include "runtime/mpi/mpi_communicator.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"
#include "runtime/poll_until.h"

namespace sequela {
namespace {

// MPI guarantees tags up to 32,767. A tag comes again after this many operations, long finished by
// then: a rank has at most a few under way, and the others cannot run ahead of it for ever.
constexpr std::int64_t kTagCycle = 16384;

}  // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm parent, std::string name, ActivityBoard& board)
    : name_(std::move(name)), board_(board) {
  SEQUELA_MPI(MPI_Comm_dup, parent, &comm_);
  SEQUELA_MPI(MPI_Comm_set_errhandler, comm_, MPI_ERRORS_RETURN);
  SEQUELA_MPI(MPI_Comm_rank, comm_, &rank_);
  SEQUELA_MPI(MPI_Comm_size, comm_, &size_);
}

TransferPlace MpiCommunicator::NextPlace() {
  ++last_id_;
  return {comm_, rank_, size_, static_cast<int>(last_id_ % kTagCycle * 2)};
}

CommRequest MpiCommunicator::Enqueue(std::unique_ptr<Transfer> transfer) {
  waiting_.emplace_back(last_id_, std::move(transfer));
  StartNext();
  return {last_id_};
}

void MpiCommunicator::StartNext() {
  while (!waiting_.empty() && active_.size() < kMaxActive) {
    active_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    active_.back().second->Start();
  }
}

void MpiCommunicator::Poll() {
  std::erase_if(active_, [](auto& entry) { return entry.second->Advance(); });
  StartNext();
}

bool MpiCommunicator::IsPending(CommRequest request) const {
  const auto is_request = [&](const auto& entry) { return entry.first == request.id; };
  return std::any_of(active_.begin(), active_.end(), is_request) ||
         std::any_of(waiting_.begin(), waiting_.end(), is_request);
}

bool MpiCommunicator::Done(CommRequest request) {
  Poll();
  return !IsPending(request);
}

void MpiCommunicator::Wait(CommRequest request) {
  if (Done(request)) return;
  board_.SetWaiting(active_.front().second->name());
  if (!PollUntil(deadline_seconds_, [&] { return Done(request); })) FailWaiting();
  board_.SetWaiting("");
}

void MpiCommunicator::FailWaiting() const {
  // The oldest operation is the one that holds up the others.
  const auto& [id, oldest] = active_.front();
  std::vector<std::string> missing;
  for (const int peer : oldest->UnfinishedPeers()) missing.push_back(board_.Describe(peer));
  throw MachineError("{} of step {} ({}, operation {}) waited more than {:.0f} s for {}",
                     oldest->name(), board_.step(), name_, id, deadline_seconds_,
                     fmt::join(missing, ", "));
}

template <typename T>
std::vector<T> MpiCommunicator::GatherAll(std::span<const T> values) {
  const std::size_t n = values.size();
  std::vector<T> all(n * static_cast<std::size_t>(size_));
  std::copy(values.begin(), values.end(),
            all.begin() + static_cast<std::ptrdiff_t>(n) * static_cast<std::ptrdiff_t>(rank_));
  std::vector<std::int64_t> offsets;
  for (int i = 0; i <= size_; ++i) {
    offsets.push_back(i * static_cast<std::int64_t>(values.size_bytes()));
  }
  Wait(Enqueue(MakeAllGather("all-gather", NextPlace(), std::as_writable_bytes(std::span(all)),
                             std::move(offsets))));
  return all;
}

template <typename T, typename Combine>
void MpiCommunicator::Reduce(std::span<T> values, Combine combine) {
  const std::vector<T> all = GatherAll(std::span<const T>(values));
  const std::size_t n = values.size();
  for (std::size_t i = 0; i < n; ++i) {
    T result = all[i];
    for (std::size_t r = 1; r < static_cast<std::size_t>(size_); ++r) {
      result = combine(result, all[r * n + i]);
    }
    values[i] = result;
  }
}

void MpiCommunicator::AllReduceSum(std::span<float> values) { Reduce(values, std::plus<float>()); }
void MpiCommunicator::AllReduceSum(std::span<double> values) {
  Reduce(values, std::plus<double>());
}
void MpiCommunicator::AllReduceSum(std::span<std::int64_t> values) {
  Reduce(values, std::plus<std::int64_t>());
}
void MpiCommunicator::AllReduceMax(std::span<std::int64_t> values) {
  Reduce(values, [](std::int64_t a, std::int64_t b) { return std::max(a, b); });
}

void MpiCommunicator::Broadcast(std::span<std::byte> bytes, int root) {
  SEQUELA_CHECK(root >= 0 && root < size_, "root {}", root);
  Wait(Enqueue(MakeBroadcast(NextPlace(), bytes, root)));
}

std::vector<std::vector<std::byte>> MpiCommunicator::AllGather(std::span<const std::byte> mine) {
  const std::int64_t my_size = std::ssize(mine);
  std::vector<std::int64_t> offsets = {0};
  for (const std::int64_t size : GatherAll(std::span(&my_size, 1))) {
    offsets.push_back(offsets.back() + size);
  }
  std::vector<std::byte> all(static_cast<std::size_t>(offsets.back()));
  std::copy(mine.begin(), mine.end(), all.begin() + offsets[static_cast<std::size_t>(rank_)]);
  Wait(Enqueue(MakeAllGather("all-gather", NextPlace(), all, offsets)));
  std::vector<std::vector<std::byte>> parts;
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    parts.emplace_back(all.begin() + offsets[i], all.begin() + offsets[i + 1]);
  }
  return parts;
}

void MpiCommunicator::Barrier() { Wait(StartBarrier()); }

CommRequest MpiCommunicator::StartAllReduceSum(std::span<float> values) {
  return Enqueue(MakeAllReduce(NextPlace(), values));
}

CommRequest MpiCommunicator::StartReduceScatterSum(std::span<float> values,
                                                   std::span<const std::int64_t> offsets) {
  SEQUELA_CHECK(std::ssize(offsets) == size_ + 1 && offsets.back() == std::ssize(values));
  return Enqueue(MakeReduceScatter(NextPlace(), values, {offsets.begin(), offsets.end()}));
}

CommRequest MpiCommunicator::StartAllGather(std::span<std::byte> bytes,
                                            std::span<const std::int64_t> offsets) {
  SEQUELA_CHECK(std::ssize(offsets) == size_ + 1 && offsets.back() == std::ssize(bytes));
  return Enqueue(MakeAllGather("all-gather", NextPlace(), bytes, {offsets.begin(), offsets.end()}));
}

CommRequest MpiCommunicator::StartBarrier() { return Enqueue(MakeBarrier(NextPlace())); }

// A sum receives this rank's share from every other rank.
std::int64_t MpiCommunicator::SumScratchBytes(std::int64_t bytes, std::int64_t count) const {
  return size_ == 1 ? 0 : bytes * std::min(count, static_cast<std::int64_t>(kMaxActive));
}

std::unique_ptr<Communicator> MpiCommunicator::Duplicate(std::string name) {
  auto copy = std::make_unique<MpiCommunicator>(comm_, std::move(name), board_);
  copy->SetDeadline(deadline_seconds_);
  return copy;
}

void MpiCommunicator::SetActivity(std::int64_t step, std::string_view doing) {
  board_.SetActivity(step, doing);
}

}  // namespace sequela
