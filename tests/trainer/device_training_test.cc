// ctest: timeout=600 cuda_only
// Training on the CUDA backend against the CPU's: the same experiment, the same losses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/testing/interpreted_device.h"
#include "tests/testing/tiny_model.h"
#include "trainer/train_step.h"

namespace sequela {
namespace {

constexpr int kSteps = 10;
constexpr std::uint64_t kSeed = 7;

// Two layers whose heads are as wide as the tensor-core kernels want them, two query heads a key
// head; an odd vocabulary.
ModelConfig SmallModel() {
  ModelConfig config;
  config.model_type = ModelType::kQwen3;
  config.vocab_size = 67;
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.head_dim = 64;
  config.qk_norm = config.tie_word_embeddings = true;
  config.position = PositionKind::kBoth;
  config.dropout = 0.1;
  return config;
}

struct Settings {
  DType dtype = DType::kFloat32;
  Recompute recompute = Recompute::kNone;
};

// Two micro-batches a step; every second step has the same documents, so that there is something to
// learn.
std::vector<Batch> MicrobatchesOf(int step) {
  const std::int64_t first = 100 * (step % 2);
  return {testing::MakeBatch(SmallModel(), {31, 1, 40}, 1, first),
          testing::MakeBatch(SmallModel(), {65}, 1, first + 50)};
}

std::vector<double> Losses(Device& device, const Settings& settings, int steps = kSteps) {
  const auto communicator = MakeSelfCommunicator();
  TrainState state(SmallModel(),
                   {.decoder = {.compute_dtype = settings.dtype,
                                .recompute = settings.recompute,
                                .max_tokens = 128},
                    .optimizer = {},
                    .zero_stage = 0},
                   *communicator, device);
  state.Initialize(kSeed);
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) {
    const std::vector<Batch> batches = MicrobatchesOf(step);
    losses.push_back(
        TrainStep(state,
                  {.microbatches = batches, .learning_rate = 3e-3, .seed = kSeed, .step = step})
            .loss);
  }
  return losses;
}

double LargestRelativeDifference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(a[i] - b[i]) / b[i]);
  }
  return largest;
}

TEST(DeviceTrainingTest, Fp32LossesAreTheCpus) {
  const std::vector<double> expected = Losses(HostDevice(), {});
  ASSERT_LT(expected.back(), expected.front() - 0.1) << "nothing was learnt";
  EXPECT_LT(LargestRelativeDifference(Losses(testing::TestDevice(), {}), expected), 1e-4);
}

// As far from fp32 as the CPU's own bf16 is, at most twice.
TEST(DeviceTrainingTest, Bf16LossesAreWithinTheRule) {
  const std::vector<double> exact = Losses(HostDevice(), {});
  const double honest =
      LargestRelativeDifference(Losses(HostDevice(), {.dtype = DType::kBFloat16}), exact);
  ASSERT_LT(honest, 0.02);
  EXPECT_LT(
      LargestRelativeDifference(Losses(testing::TestDevice(), {.dtype = DType::kBFloat16}), exact),
      2 * honest);
}

TEST(DeviceTrainingTest, RepeatsAndRecomputationChangeNoBit) {
  constexpr int kFewSteps = 2;
  const Settings settings = {.dtype = DType::kBFloat16};
  const std::vector<double> once = Losses(testing::TestDevice(), settings, kFewSteps);
  for (const Recompute level : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    Settings again = settings;
    again.recompute = level;
    EXPECT_EQ(Losses(testing::TestDevice(), again, kFewSteps), once) << NameOf(level);
  }
}

TEST(DeviceTrainingTest, ALossThatIsNotFiniteIsNamed) {
  const auto communicator = MakeSelfCommunicator();
  TrainState state(SmallModel(), {.decoder = {.max_tokens = 128}, .optimizer = {}, .zero_stage = 0},
                   *communicator, testing::TestDevice());
  state.Initialize(kSeed);
  const int embedding = state.table().Find("model.embed_tokens.weight");
  std::vector<float> values(static_cast<std::size_t>(state.table().piece(embedding).size()), 0.1F);
  values.front() = NAN;
  state.buffers().SetPiece(embedding, values);
  const Batch batch = testing::MakeBatch(SmallModel(), {20, 33}, 1, /*first_sample=*/4711);
  try {
    TrainStep(state, {.microbatches = std::span(&batch, 1), .learning_rate = 1e-3, .step = 17});
    FAIL() << "accepted";
  } catch (const MachineError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("sample 47"), std::string::npos) << message;
    EXPECT_NE(message.find("step 17"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace sequela
