// The Communicator over MPI, for CPU buffers.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/communicator.h"
#include "runtime/mpi/activity_board.h"
#include "runtime/mpi/transfers.h"

namespace sequela {

// One thread at a time. At most kMaxActive operations exchange messages at once, in the order in
// which they were started, so that scratch memory stays small however many buckets wait.
class MpiCommunicator : public Communicator {
 public:
  // Collective: `parent` is duplicated. `board` is borrowed.
  MpiCommunicator(MPI_Comm parent, std::string name, ActivityBoard& board);

  void AllReduceSum(std::span<float> values) override;
  void AllReduceSum(std::span<double> values) override;
  void AllReduceSum(std::span<std::int64_t> values) override;
  void AllReduceMax(std::span<std::int64_t> values) override;
  void Broadcast(std::span<std::byte> bytes, int root) override;
  std::vector<std::vector<std::byte>> AllGather(std::span<const std::byte> mine) override;
  void Barrier() override;

  CommRequest StartAllReduceSum(std::span<float> values) override;
  CommRequest StartReduceScatterSum(std::span<float> values,
                                    std::span<const std::int64_t> offsets) override;
  CommRequest StartAllGather(std::span<std::byte> bytes,
                             std::span<const std::int64_t> offsets) override;
  CommRequest StartBarrier() override;

  std::int64_t SumScratchBytes(std::int64_t bytes, std::int64_t count) const override;
  void Poll() override;
  bool Done(CommRequest request) override;
  void Wait(CommRequest request) override;

  std::unique_ptr<Communicator> Duplicate(std::string name) override;
  void SetActivity(std::int64_t step, std::string_view doing) override;

 private:
  static constexpr std::size_t kMaxActive = 4;

  TransferPlace NextPlace();
  CommRequest Enqueue(std::unique_ptr<Transfer> transfer);
  void StartNext();
  bool IsPending(CommRequest request) const;
  // All ranks' values by rank, [size, values.size()].
  template <typename T>
  std::vector<T> GatherAll(std::span<const T> values);
  template <typename T, typename Combine>
  void Reduce(std::span<T> values, Combine combine);
  [[noreturn]] void FailWaiting() const;

  MPI_Comm comm_ = MPI_COMM_NULL;
  std::string name_;
  ActivityBoard& board_;
  std::int64_t last_id_ = 0;
  std::deque<std::pair<std::int64_t, std::unique_ptr<Transfer>>> waiting_;
  std::vector<std::pair<std::int64_t, std::unique_ptr<Transfer>>> active_;  // in order of start
};

}  // namespace sequela
