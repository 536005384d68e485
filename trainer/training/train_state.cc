#include "trainer/training/train_state.h"

#include "trainer/model/initializer.h"

namespace sequela {

TrainState::TrainState(const ModelConfig& config, const TrainStateOptions& options,
                       Communicator& communicator, Device& device)
    : options_(options),
      communicator_(communicator),
      decoder_(config, options.decoder, device),
      buffers_(decoder_.table(), options.decoder.compute_dtype, /*with_gradients=*/true, device),
      buckets_(buffers_, communicator, options.zero_stage),
      optimizer_(buffers_, buckets_.plan(), communicator, options.optimizer) {}

void TrainState::Initialize(std::uint64_t seed) {
  optimizer_.Initialize([&](int piece, std::span<float> values) {
    InitializeParameter(config(), table().piece(piece), seed, values);
  });
}

void TrainState::LoadModel(const std::filesystem::path& folder) {
  LoadModel(ModelWeights(folder, table()));
}

void TrainState::LoadModel(const ModelWeights& weights) {
  optimizer_.Initialize([&](int piece, std::span<float> values) { weights.Read(piece, values); });
}

}  // namespace sequela
