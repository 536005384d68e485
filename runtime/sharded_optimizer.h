// AdamW over the flat buffers, whole on every rank (ZeRO 0) or each rank its own runs of tiles
// (ZeRO 1). Loshchilov and Hutter 2019 (arXiv 1711.05101), decoupled weight decay on pieces of two
// dimensions; Rajbhandari et al. 2020 (arXiv 1910.02054) for the sharding.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/exec.h"
#include "runtime/communicator.h"
#include "runtime/gradient_buckets.h"
#include "runtime/parameter_table.h"

namespace sequela {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;        // of pieces of two dimensions
  double clip_gradient_norm = 1.0;  // 0: no clipping
};

struct UpdateResult {
  double gradient_norm = 0;  // of the gradient divided by W, before clipping; 0 when skipped
  bool skipped = false;      // W was 0: nothing changed
};

// One thread at a time: the training thread.
class ShardedOptimizer {
 public:
  // Borrows everything. The plan decides the shard: 1 shard (ZeRO 0) or one a rank (ZeRO 1).
  // Allocates m, v and, where the compute dtype is bf16, the fp32 master of the shard.
  ShardedOptimizer(FlatBuffers& buffers, const BucketPlan& plan, Communicator& communicator,
                   const AdamWOptions& options);

  // Sets every parameter: calls fill(piece index, values of that piece) and puts the values into
  // weights, vectors and master. m, v and the update count become zero. No communication: every
  // rank fills alike.
  void Initialize(const std::function<void(int piece, std::span<float> values)>& fill);

  // One update from the summed gradients (GradientBuckets::Finish) and W: the gradient is summed /
  // W. Norm: square root of fp64 partials of tiles, added in tile order, the same for every number
  // of ranks up to the rounding of the summed gradients. Afterwards weights and vectors are up to
  // date on all ranks.
  UpdateResult Update(const Exec& exec, double learning_rate, double weight_sum);

  // Updates applied so far: AdamW's t.
  std::int64_t num_updates() const { return num_updates_; }
  void set_num_updates(std::int64_t updates) { num_updates_ = updates; }
  // Seconds that the last Update waited for other ranks.
  double communication_wait_seconds() const { return wait_seconds_; }

  // The shard: its runs in the flat buffers, and local buffers that are their concatenation. In
  // fp32 master is the weights' own run and `master` is empty. Read and written by checkpoints.
  const std::vector<TileRun>& runs() const { return runs_; }
  std::span<float> master() { return master_.As<float>(); }
  std::span<float> m() { return m_.As<float>(); }
  std::span<float> v() { return v_.As<float>(); }
  // The master values of run `index`: in `master`, or in the weights (fp32).
  std::span<float> MasterRun(int index);

  FlatBuffers& buffers() { return buffers_; }
  const BucketPlan& plan() const { return plan_; }
  Communicator& communicator() { return communicator_; }
  // This rank's shard: 0 in ZeRO 0.
  int shard() const { return shard_; }
  // Copies master of the own runs into weights and vectors, and fetches the others' (ZeRO 1).
  // Collective. After a checkpoint was read.
  void PublishParameters();

 private:
  double SquaredNorm(const Exec& exec);
  void ApplyAdamW(const Exec& exec, double learning_rate, double gradient_scale);
  void GatherParameters();
  void GatherVectors();

  FlatBuffers& buffers_;
  const BucketPlan& plan_;
  Communicator& communicator_;
  AdamWOptions options_;
  int shard_;
  std::vector<TileRun> runs_;
  std::vector<std::int64_t> local_offset_;  // of each run in the local buffers
  Buffer master_;
  Buffer m_;
  Buffer v_;
  std::vector<double> tile_sums_;
  std::int64_t num_updates_ = 0;
  double wait_seconds_ = 0;
};

}  // namespace sequela
