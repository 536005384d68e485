// Collectives among a group of ranks. Implementations: SelfCommunicator (one process, no MPI),
// mpi/mpi_communicator.h (CPU buffers over MPI) and nccl/nccl_communicator.h (tensors on GPUs).
//
// Rules for the caller
//   1. All ranks start the same operations in the same order with the same sizes.
//   2. One thread at a time: the training thread.
//   3. A buffer given to a Start... call belongs to the operation until Wait returns or Done is
//   true. What was enqueued on the compute stream before Start may still be writing it.
//   4. Nonblocking operations move only inside Poll, Wait and the blocking calls: Poll between the
//      operations of a block (about every millisecond of arithmetic). Over NCCL those that were
//      launched move by themselves.
//   5. Nonblocking sums and gathers take memory of the device that the communicator was made for;
//      everything else takes memory of the host.
//
// Promises
//   - All ranks hold the same bits.
//   - Over MPI, sums are formed element by element in the order of ranks, ((r0 + r1) + r2) + ...,
//     whatever the timing, the operation (all-reduce or reduce-scatter) and the cutting into
//     buckets: the same ranks give the same bits.
//   - Over NCCL, sums are formed in the order of a ring that NCCL lays through the machines' links,
//     and that depends on an element's place in its bucket: the same ranks on machines with the
//     same links, with the same operations and buckets, give the same bits at each repeat. The
//     ring is our default; who sets NCCL_ALGO himself may lose that (NVLS adds up in the switch).
//   - A wait longer than the deadline throws MachineError that names operation, step, the ranks
//     waited for (NCCL does not tell: all others) and, where they share this machine, what they
//     were last doing. launch/main.cc names this rank and its host.
//   - Counts are 64-bit; transfers are cut where a library's counts are int.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sequela {

// Names a nonblocking operation of one communicator. A default-constructed handle is done.
struct CommRequest {
  std::int64_t id = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Sum over ranks, in place, the same bits on every rank. For small arrays (counts, losses).
  virtual void AllReduceSum(std::span<float> values) = 0;
  virtual void AllReduceSum(std::span<double> values) = 0;
  virtual void AllReduceSum(std::span<std::int64_t> values) = 0;
  // Largest value over ranks, in place: flags, agreement on a stop.
  virtual void AllReduceMax(std::span<std::int64_t> values) = 0;
  // `bytes` of rank `root` on every rank. All ranks give the same size.
  virtual void Broadcast(std::span<std::byte> bytes, int root) = 0;
  // result[r] = what rank r gave; the sizes may differ.
  virtual std::vector<std::vector<std::byte>> AllGather(std::span<const std::byte> mine) = 0;
  virtual void Barrier() = 0;

  // --- nonblocking ---
  // Sum over ranks of the whole span, in place.
  virtual CommRequest StartAllReduceSum(std::span<float> values) = 0;
  // Rank r ends with the sum of values[offsets[r], offsets[r + 1]); the other ranges keep this
  // rank's own values. `offsets` has size() + 1 entries from 0 to values.size() and is copied.
  virtual CommRequest StartReduceScatterSum(std::span<float> values,
                                            std::span<const std::int64_t> offsets) = 0;
  // Before, rank r holds bytes[offsets[r], offsets[r + 1]); after, every rank holds all of them.
  virtual CommRequest StartAllGather(std::span<std::byte> bytes,
                                     std::span<const std::int64_t> offsets) = 0;
  virtual CommRequest StartBarrier() = 0;

  // The most memory that summing operations of `bytes` each take while `count` of them wait.
  virtual std::int64_t SumScratchBytes(std::int64_t bytes, std::int64_t count) const = 0;

  // Moves what is under way; never waits.
  virtual void Poll() = 0;
  // Polls; true when the operation is finished.
  virtual bool Done(CommRequest request) = 0;
  // Returns when the operation is finished. Throws MachineError past the deadline.
  virtual void Wait(CommRequest request) = 0;

  // A second communicator of the same ranks whose operations never mix with this one's, for memory
  // of the host. Collective. `name` appears in messages.
  virtual std::unique_ptr<Communicator> Duplicate(std::string name) = 0;

  // Seconds that a wait may last (default 60).
  void SetDeadline(double seconds) { deadline_seconds_ = seconds; }
  double deadline_seconds() const { return deadline_seconds_; }
  // What this rank is doing, for the messages of a wait that failed: the training step, and
  // optionally a word ("forward", "saving"). Cheap; copied.
  virtual void SetActivity(std::int64_t step, std::string_view doing) = 0;

  // Text of rank `root` on every rank.
  std::string BroadcastText(std::string text, int root);
  // The texts of all ranks, by rank.
  std::vector<std::string> AllGatherText(std::string_view mine);

 protected:
  int rank_ = 0;
  int size_ = 1;
  double deadline_seconds_ = 60;
};

// The communicator of one process.
std::unique_ptr<Communicator> MakeSelfCommunicator();

}  // namespace sequela
