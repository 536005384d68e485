#include "trainer/training/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/checkpoint.h"
#include "runtime/device.h"
#include "trainer/model/parameter_pieces.h"
#include "trainer/training/resident_memory.h"

namespace sequela {
namespace {

constexpr std::int64_t kFloatBytes = sizeof(float);
// A token of a batch: id, target, loss weight, position (4 bytes each), time (8).
constexpr std::int64_t kBatchTokenBytes = 24;
// Two steps' batches wait, one is being made, one is in use.
constexpr std::int64_t kStepsInMemory = 4;

BucketPlan BucketsOf(const ParameterTable& table, const TrainStateOptions& options,
                     int world_size) {
  return {table.num_elements(), GradientBuckets::kDefaultBucketBytes,
          options.zero_stage == 0 ? 1 : world_size};
}

std::int64_t NumOptimizerBuffers(const TrainStateOptions& options) {
  return options.decoder.compute_dtype == DType::kBFloat16 ? 3 : 2;
}

}  // namespace

std::string MemoryPlan::ToString() const {
  const auto mebibytes = [](std::int64_t bytes) { return static_cast<double>(bytes) / 0x1.0p20; };
  return fmt::format(
      "weights {:.0f} + gradients {:.0f} + optimizer {:.0f} + activations {:.0f} = {:.0f} MiB",
      mebibytes(weight_bytes), mebibytes(gradient_bytes), mebibytes(optimizer_bytes),
      mebibytes(activation_bytes), mebibytes(total_bytes()));
}

MemoryPlan PlanMemory(const ModelConfig& config, const TrainStateOptions& options, int world_size,
                      const Device& device) {
  const ParameterTable table = BuildParameterTable(config);
  const BucketPlan buckets = BucketsOf(table, options, world_size);
  std::int64_t shard_elements = 0;  // the largest of the ranks'
  for (int shard = 0; shard < buckets.num_shards(); ++shard) {
    shard_elements = std::max(shard_elements, buckets.ShardElements(shard));
  }
  std::int64_t vector_elements = 0;
  for (const ParameterPiece& piece : table.pieces()) {
    if (piece.num_dims == 1) vector_elements += piece.size();
  }
  const bool keeps_share_sums = options.zero_stage == 2 && buckets.num_shards() > 1;
  const bool is_bf16 = options.decoder.compute_dtype == DType::kBFloat16;
  return {.parameters = table.num_parameters(),
          .weight_bytes = table.num_elements() * SizeOf(options.decoder.compute_dtype) +
                          (is_bf16 ? vector_elements * kFloatBytes : 0),
          .gradient_bytes =
              (table.num_elements() + (keeps_share_sums ? shard_elements : 0)) * kFloatBytes,
          .optimizer_bytes = shard_elements * kFloatBytes * NumOptimizerBuffers(options),
          .activation_bytes = ActivationBytes(config, options.decoder, device)};
}

RunMemory PlanRunMemory(const ModelConfig& config, const TrainStateOptions& options,
                        const Communicator& communicator, std::int64_t step_tokens_of_rank,
                        bool restores) {
  const ParameterTable table = BuildParameterTable(config);
  const BucketPlan buckets = BucketsOf(table, options, communicator.size());
  RunMemory run;
  run.held_bytes = ResidentBytes();
  run.snapshot_bytes = PlanSnapshotBytes(table, options.decoder.compute_dtype, buckets,
                                         communicator.rank(), communicator.size());
  run.transfer_bytes = communicator.SumScratchBytes(
      std::min(GradientBuckets::kDefaultBucketBytes, table.num_elements() * kFloatBytes),
      buckets.num_buckets());
  run.loader_bytes = step_tokens_of_rank * kBatchTokenBytes * kStepsInMemory;
  const MemoryPlan plan = PlanMemory(config, options, communicator.size());
  if (restores) run.restore_bytes = plan.weight_bytes + plan.optimizer_bytes;
  const std::int64_t moments = NumOptimizerBuffers(options);
  const auto slack = [](std::int64_t bytes) { return HostFootprintBytes(bytes) - bytes; };
  run.huge_page_bytes = slack(plan.weight_bytes) + slack(plan.gradient_bytes) +
                        slack(plan.activation_bytes) + slack(run.snapshot_bytes) +
                        moments * slack(plan.optimizer_bytes / moments);
  return run;
}

std::int64_t PeakBytes(const MemoryPlan& plan, const RunMemory& run) {
  const std::int64_t state = plan.weight_bytes + plan.gradient_bytes + plan.optimizer_bytes;
  const std::int64_t stepping = plan.activation_bytes + run.snapshot_bytes + run.transfer_bytes +
                                run.loader_bytes + run.huge_page_bytes + run.library_bytes;
  return std::max(run.held_bytes + state + std::max(stepping, run.restore_bytes),
                  PeakResidentBytes());
}

}  // namespace sequela
