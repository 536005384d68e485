// AdamW over the flat buffers, whole on every rank (ZeRO 0) or each rank its own runs of tiles
// (ZeRO 1 and 2). Loshchilov and Hutter 2019 (arXiv 1711.05101), decoupled weight decay on pieces
// of two dimensions; Rajbhandari et al. 2020 (arXiv 1910.02054) for the sharding.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/exec.h"
#include "runtime/communicator.h"
#include "runtime/device.h"
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
  // Borrows everything. The plan decides the shard: 1 shard (ZeRO 0) or one a rank (ZeRO 1 and 2).
  // Allocates, on the device of `buffers`, m, v and, where the compute dtype is bf16, the fp32
  // master of the shard.
  ShardedOptimizer(FlatBuffers& buffers, const BucketPlan& plan, Communicator& communicator,
                   const AdamWOptions& options);

  // Sets every parameter: calls fill(piece index, values of that piece) and puts the values into
  // weights, vectors and master. m, v and the update count become zero. No communication: every
  // rank fills alike.
  void Initialize(const std::function<void(int piece, std::span<float> values)>& fill);

  // One update from the summed gradients (GradientBuckets::Finish) and W: the gradient is sum / W.
  // The norm is the root of fp64 partials of tiles, added in tile order: the same bits for ZeRO 0
  // and 1, and for every number of ranks up to the rounding of the sums. Afterwards weights and
  // vectors are up to date on all ranks. Throws MachineError naming the parameter, on all ranks,
  // where a sum is not finite; nothing has changed then. Collective. On a device the host waits
  // once, for the norm. `exec` runs on the device of the buffers.
  UpdateResult Update(const Exec& exec, double learning_rate, double weight_sum);

  // Updates applied so far: AdamW's t.
  std::int64_t num_updates() const { return num_updates_; }
  void set_num_updates(std::int64_t updates) { num_updates_ = updates; }
  // Seconds that the last Update waited for other ranks.
  double communication_wait_seconds() const { return wait_seconds_; }

  // --- for checkpoints ---
  // The shard: its runs in the flat buffers, in order. m(), v() and, in bf16, master() are their
  // concatenation, in the device's memory. In fp32 the weights are the master, and master() is
  // empty.
  const std::vector<TileRun>& runs() const { return runs_; }
  bool has_master() const { return buffers_.compute_dtype() != DType::kFloat32; }
  std::span<float> master() { return master_.As<float>(); }
  std::span<float> m() { return m_.As<float>(); }
  std::span<float> v() { return v_.As<float>(); }
  // After master (fp32: the weights of the own runs), m and v were read: brings weights and vectors
  // of all ranks up to date. Collective.
  void PublishParameters();

  // Somebody reads the state on another stream until `read` is done: the next Update changes it
  // after that. The host does not wait.
  void UpdateAfter(std::shared_ptr<const Event> read) { read_ = std::move(read); }

  FlatBuffers& buffers() { return buffers_; }
  const BucketPlan& plan() const { return plan_; }
  int shard() const { return shard_; }
  // 1 where the state is spread over ranks: ZeRO 2 keeps what ZeRO 1 keeps.
  int zero_stage() const { return plan_.num_shards() > 1 ? 1 : 0; }

 private:
  // Elements [begin, end) of the flat buffers, which lie at `local` in the shard's buffers.
  struct Segment {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    std::int64_t local = 0;
    bool matrix = false;  // with weight decay; padding goes with the piece before it
    std::int64_t size() const { return end - begin; }
  };
  // The segments of a shard, cut at the edges of buckets and where matrices and vectors meet.
  std::vector<Segment> SegmentsOf(int shard) const;

  double SumOfSquares(const Exec& exec);
  // The partials of all shards, where the host reads them.
  std::span<const double> TileSums(const Exec& exec);
  [[noreturn]] void FailNotFinite(std::int64_t tile) const;
  void UpdateSegment(const Exec& exec, const Segment& segment, double learning_rate,
                     double gradient_scale);
  void StartGather(int bucket);
  void FinishGathers();
  void CopyOwnVectors();
  void GatherVectors();
  // Calls copy(segment, where it lies among the packed vectors of all shards).
  void ForVectors(const std::function<void(const Segment& segment, float* packed)>& copy);
  void Wait(CommRequest request);

  FlatBuffers& buffers_;
  const BucketPlan& plan_;
  Communicator& communicator_;
  AdamWOptions options_;
  int shard_;
  std::vector<TileRun> runs_;
  std::vector<Segment> segments_;  // of this rank's shard
  Buffer master_;
  Buffer m_;
  Buffer v_;
  Buffer tile_sums_;       // fp64, of all shards, one after the other
  Buffer host_tile_sums_;  // the same, pinned; empty on the CPU
  Event tile_sums_read_;
  std::shared_ptr<const Event> read_;     // of the state, by whoever copies it
  std::vector<std::int64_t> shard_tile_;  // where each shard's begin: num_shards + 1 entries
  std::vector<CommRequest> gathers_;      // of parameters, under way
  std::vector<std::vector<Segment>> vector_segments_;  // bf16: by shard, what holds vectors
  Buffer vector_values_;                      // these, packed, for the exchange between ranks
  std::vector<std::int64_t> vector_offsets_;  // in bytes, where each shard's begin
  std::int64_t num_updates_ = 0;
  double wait_seconds_ = 0;
};

}  // namespace sequela
