#include "trainer/train_state.h"

#include <algorithm>

#include "trainer/hf_model.h"
#include "trainer/initializer.h"
#include "trainer/parameter_pieces.h"

namespace sequela {
namespace {

int NumShards(const TrainStateOptions& options, int world_size) {
  return options.zero_stage == 0 ? 1 : world_size;
}

}  // namespace

std::string MemoryPlan::ToString() const {
  const auto mebibytes = [](std::int64_t bytes) { return static_cast<double>(bytes) / 0x1.0p20; };
  return fmt::format(
      "{:.2f} million parameters; memory in MiB: weights {:.1f}, gradients {:.1f}, optimizer "
      "{:.1f}, "
      "activations {:.1f}, total {:.1f}",
      static_cast<double>(parameters) * 1e-6, mebibytes(weight_bytes), mebibytes(gradient_bytes),
      mebibytes(optimizer_bytes), mebibytes(activation_bytes), mebibytes(total_bytes()));
}

MemoryPlan PlanMemory(const ModelConfig& config, const TrainStateOptions& options, int world_size) {
  const ParameterTable table = BuildParameterTable(config);
  const bool is_bf16 = options.decoder.compute_dtype == DType::kBFloat16;
  const BucketPlan buckets(table.num_elements(), GradientBuckets::kDefaultBucketBytes,
                           NumShards(options, world_size));
  std::int64_t shard_elements = 0;  // the largest of the ranks'
  for (int shard = 0; shard < buckets.num_shards(); ++shard) {
    shard_elements = std::max(shard_elements, buckets.ShardElements(shard));
  }
  std::int64_t vector_elements = 0;
  for (const ParameterPiece& piece : table.pieces()) {
    if (piece.num_dims == 1) vector_elements += piece.size();
  }
  const std::int64_t float_bytes = SizeOf(DType::kFloat32);
  return {.parameters = table.num_parameters(),
          .weight_bytes = table.num_elements() * SizeOf(options.decoder.compute_dtype) +
                          (is_bf16 ? vector_elements * float_bytes : 0),
          .gradient_bytes = table.num_elements() * float_bytes,
          .optimizer_bytes = shard_elements * float_bytes * (is_bf16 ? 3 : 2),
          .activation_bytes = ActivationBytes(config, options.decoder)};
}

TrainState::TrainState(const ModelConfig& config, const TrainStateOptions& options,
                       Communicator& communicator)
    : options_(options),
      communicator_(communicator),
      decoder_(config, options.decoder),
      buffers_(decoder_.table(), options.decoder.compute_dtype),
      buckets_(buffers_, communicator, options.zero_stage),
      optimizer_(buffers_, buckets_.plan(), communicator, options.optimizer) {}

void TrainState::Initialize(std::uint64_t seed) {
  optimizer_.Initialize([&](int piece, std::span<float> values) {
    InitializeParameter(config(), table().piece(piece), seed, values);
  });
}

void TrainState::LoadModel(const std::filesystem::path& folder) {
  const ModelWeights weights(folder, table());
  optimizer_.Initialize([&](int piece, std::span<float> values) { weights.Read(piece, values); });
}

}  // namespace sequela
