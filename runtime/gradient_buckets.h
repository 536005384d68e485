// Gradients leave while backward goes on. The flat gradient buffer is cut into buckets of whole
// tiles; a bucket whose pieces are all finished leaves at once, summed over ranks: to all of them
// (ZeRO 0), or each rank's share to that rank (ZeRO 1 and 2). ZeRO 0 and 1 communicate once a step,
// after all microbatches were added up; ZeRO 2 communicates every microbatch, and each rank adds
// its share to the sum of those before (Rajbhandari et al. 2020, arXiv 1910.02054).
//
//   const std::int64_t rounds = buckets.Begin(step, microbatches_of_this_rank);
//   for (std::int64_t i = 0; i < rounds; ++i) {
//     ... backward of microbatch i, if this rank has so many: MarkReady and Poll meanwhile ...
//     buckets.EndMicrobatch();
//   }
//   const double weight_sum = buckets.Finish(weight_sum_of_this_rank);
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
  // ranks (ZeRO 1 and 2).
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

  // Borrows `buffers` and `communicator`. zero_stage is 0, 1 or 2; on several ranks ZeRO 2
  // allocates the fp32 sums of this rank's share.
  GradientBuckets(FlatBuffers& buffers, Communicator& communicator, int zero_stage,
                  std::int64_t bucket_bytes = kDefaultBucketBytes);

  const BucketPlan& plan() const { return plan_; }
  int zero_stage() const { return zero_stage_; }

  // Zeroes the gradients. `step` appears in messages; `microbatches` is how many this rank has, 0
  // too. Returns how many times EndMicrobatch is to be called: in ZeRO 2 the most of all ranks
  // (collective there), whose last ones a rank with fewer spends with zeros.
  std::int64_t Begin(std::int64_t step, std::int64_t microbatches);
  // The gradients of the pieces [0, num_pieces) are final for this microbatch: complete buckets
  // leave, in ZeRO 0 and 1 in the last microbatch alone. On the CPU throws NonFiniteGradient naming
  // parameter, place and step before a NaN or infinity leaves (launch/main.cc names the rank); on a
  // device that would make the host wait at every bucket, and ShardedOptimizer::Update finds it.
  void MarkReady(int num_pieces);
  // Between the operations of a block.
  void Poll();
  // After the backward of a microbatch. ZeRO 2: what has not left yet leaves, this rank's share is
  // added to the sums, and the gradients are zero again for the next microbatch.
  void EndMicrobatch();
  // Sends what has not left yet (a rank without a microbatch marks nothing), and waits for all.
  // Afterwards the sums stand in the gradient buffer: everywhere (ZeRO 0) or in this rank's runs
  // (ZeRO 1 and 2). `weight_sum`: this rank's sum of target weights. Returns the sum over ranks, W,
  // in fp64.
  double Finish(double weight_sum);

  // Seconds that EndMicrobatch and Finish of the last step waited for other ranks.
  double communication_wait_seconds() const { return wait_seconds_; }

 private:
  bool communicates_each_microbatch() const { return zero_stage_ == 2 && plan_.num_shards() > 1; }
  bool is_last() const { return microbatch_ + 1 >= rounds_; }
  std::span<float> Gradients(TileRun run);
  void Send(int bucket);
  void WaitForAll();
  void AddShares();
  void AddShare(std::span<float> gradients, std::span<float> sums);
  [[noreturn]] void FailNotFinite(TileRun run) const;

  FlatBuffers& buffers_;
  Communicator& communicator_;
  int zero_stage_;
  BucketPlan plan_;
  Buffer share_sums_;    // ZeRO 2: of the microbatches before this one, in the order of the shard
  int next_bucket_ = 0;  // the first bucket that has not left
  std::vector<CommRequest> requests_;  // of the buckets that have left
  std::int64_t step_ = 0;
  std::int64_t rounds_ = 0;
  std::int64_t microbatch_ = 0;  // of the step, counted from 0
  double wait_seconds_ = 0;
};

}  // namespace sequela
