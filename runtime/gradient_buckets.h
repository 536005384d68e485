// Gradients leave while backward goes on. The flat gradient buffer is cut into buckets of whole
// tiles; a bucket whose pieces are all finished leaves at once, summed over ranks: to all of them
// (ZeRO 0), or each rank's share to that rank (ZeRO 1).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/base/errors.h"
#include "runtime/communicator.h"
#include "runtime/parameter_table.h"

namespace sequela {

// A gradient that is not finite, found before it could spread to other ranks. The trainer may catch
// it to add which samples the rank had.
class NonFiniteGradient : public MachineError {
 public:
  NonFiniteGradient(const std::string& message, std::string parameter)
      : MachineError(message), parameter_(std::move(parameter)) {}
  const std::string& parameter() const { return parameter_; }

 private:
  std::string parameter_;
};

// A run of elements of the flat buffers: [begin, end), multiples of kTileElements.
struct TileRun {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
};

// The cutting of a flat buffer into buckets, and of each bucket into one run a rank. Every rank
// takes a share of every bucket, so that all ranks send and receive at once. Read only: safe for
// concurrent use.
class BucketPlan {
 public:
  // `bucket_bytes` of fp32 gradients is rounded up to whole tiles. `num_shards`: 1 (ZeRO 0) or the
  // ranks.
  BucketPlan(std::int64_t num_elements, std::int64_t bucket_bytes, int num_shards);

  int num_buckets() const { return static_cast<int>(bucket_begin_.size()) - 1; }
  int num_shards() const { return num_shards_; }
  TileRun bucket(int index) const;
  // The run of bucket `index` that shard `shard` owns; may be empty.
  TileRun share(int index, int shard) const;
  // Where the shares begin, relative to the bucket: num_shards() + 1 entries.
  std::vector<std::int64_t> ShareOffsets(int index) const;
  // The runs of a shard in order; their concatenation is the shard's local buffer.
  std::vector<TileRun> ShardRuns(int shard) const;
  std::int64_t ShardElements(int shard) const;

 private:
  int num_shards_;
  std::vector<std::int64_t> bucket_begin_;
};

// One thread at a time: the training thread.
class GradientBuckets {
 public:
  static constexpr std::int64_t kDefaultBucketBytes = std::int64_t{2} << 20;

  // Borrows `buffers` and `communicator`. zero_stage is 0 or 1.
  GradientBuckets(FlatBuffers& buffers, Communicator& communicator, int zero_stage,
                  std::int64_t bucket_bytes = kDefaultBucketBytes);

  const BucketPlan& plan() const { return plan_; }
  int zero_stage() const { return zero_stage_; }

  // Before the backward of a step's LAST microbatch (earlier ones add into the buffer and leave
  // nothing). `step` appears in messages.
  void Begin(std::int64_t step);
  // The gradients of the pieces [0, num_pieces) are final on this rank: complete buckets leave.
  // Throws NonFiniteGradient naming parameter, place and step before a NaN or infinity leaves
  // (launch/main.cc names the rank).
  void MarkReady(int num_pieces);
  // Between the operations of a block.
  void Poll();
  // Sends what has not left yet (a rank without a microbatch marks nothing), and waits for all.
  // Afterwards the sums stand in the gradient buffer: everywhere (ZeRO 0) or in this rank's runs
  // (ZeRO 1). `weight_sum`: this rank's sum of target weights. Returns the sum over ranks, W, in
  // fp64.
  double Finish(double weight_sum);

  // Seconds that Finish of the last step waited for other ranks.
  double communication_wait_seconds() const { return wait_seconds_; }

 private:
  void Send(int bucket);
  [[noreturn]] void FailNotFinite(TileRun run) const;

  FlatBuffers& buffers_;
  Communicator& communicator_;
  int zero_stage_;
  BucketPlan plan_;
  int next_bucket_ = 0;                // the first bucket that has not left
  std::vector<CommRequest> requests_;  // of the buckets that have left
  std::int64_t step_ = 0;
  double wait_seconds_ = 0;
};

}  // namespace sequela
