// ctest: timeout=200
// The same training whatever the ranks, ZeRO level, accumulation and recomputation: the losses of
// 20 steps against those of a run in which every rank computes all by itself.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "runtime/world.h"
#include "tests/testing/tiny_model.h"
#include "trainer/training/train_step.h"

namespace sequela {
namespace {

constexpr int kSteps = 20;
constexpr std::uint64_t kSeed = 11;

struct Settings {
  int zero_stage = 0;
  int microbatches = 1;
  Recompute recompute = Recompute::kNone;
  DType dtype = DType::kFloat32;
};

ModelConfig SmallModel() {
  ModelConfig config = testing::TinyQwen3();
  config.dropout = 0.1;
  return config;
}

// The documents of a step, the same for every run; every second step has the same ones, so that
// there is something to learn.
std::vector<Batch> DocumentsOf(int step) {
  const Batch batch = testing::MakeBatch(SmallModel(), {20, 33, 7, 41, 12, 1, 25, 30}, /*seed=*/1,
                                         /*first_sample=*/100 * (step % 2));
  std::vector<Batch> documents;
  for (std::int64_t d = 0; d < batch.num_documents(); ++d) {
    documents.push_back(testing::OneDocument(batch, d));
  }
  return documents;
}

// This rank's documents, dealt over its microbatches.
std::vector<Batch> Share(const std::vector<Batch>& documents, int rank, int size,
                         int microbatches) {
  std::vector<std::vector<Batch>> dealt(static_cast<std::size_t>(microbatches));
  for (std::size_t d = static_cast<std::size_t>(rank), i = 0; d < documents.size();
       d += static_cast<std::size_t>(size), ++i) {
    dealt[i % dealt.size()].push_back(documents[d]);
  }
  std::vector<Batch> batches;
  for (const auto& group : dealt) batches.push_back(testing::Joined(group));
  return batches;
}

std::vector<double> Losses(Communicator& communicator, const Settings& run) {
  TrainState state(
      SmallModel(),
      {.decoder = {.compute_dtype = run.dtype, .recompute = run.recompute, .max_tokens = 200},
       .optimizer = {},
       .zero_stage = run.zero_stage},
      communicator);
  state.Initialize(kSeed);
  std::vector<double> losses;
  for (int step = 0; step < kSteps; ++step) {
    const std::vector<Batch> share =
        Share(DocumentsOf(step), communicator.rank(), communicator.size(), run.microbatches);
    losses.push_back(
        TrainStep(state,
                  {.microbatches = share, .learning_rate = 3e-3, .seed = kSeed, .step = step})
            .loss);
  }
  return losses;
}

void ExpectSame(const std::vector<double>& actual, const std::vector<double>& expected,
                double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t step = 0; step < actual.size(); ++step) {
    EXPECT_NEAR(actual[step], expected[step], tolerance * expected[step]) << "step " << step;
  }
}

class TrainStepTest : public ::testing::Test {
 protected:
  Communicator& world_ = World::Instance().communicator();
  std::unique_ptr<Communicator> alone_ = MakeSelfCommunicator();
};

TEST_F(TrainStepTest, RanksZeroLevelsAndAccumulationGiveTheSameLosses) {
  const std::vector<double> expected = Losses(*alone_, {});
  EXPECT_LT(expected.back(), expected.front() - 0.1);
  for (const int zero_stage : {0, 1, 2}) {
    for (const int microbatches : {1, 4}) {
      SCOPED_TRACE(fmt::format("ZeRO {}, {} microbatches", zero_stage, microbatches));
      ExpectSame(Losses(world_, {.zero_stage = zero_stage, .microbatches = microbatches}), expected,
                 1e-5);
    }
  }
}

TEST_F(TrainStepTest, RecomputationChangesNoBit) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    const Settings run = {.zero_stage = 1, .dtype = dtype};
    const std::vector<double> expected = Losses(world_, run);
    for (const Recompute level : {Recompute::kSelective, Recompute::kFull}) {
      Settings again = run;
      again.recompute = level;
      EXPECT_EQ(Losses(world_, again), expected) << NameOf(level);
    }
  }
}

// bf16: runs differ by no more than bf16 differs from fp32.
TEST_F(TrainStepTest, Bf16LossesDifferLessThanBf16DiffersFromFp32) {
  const std::vector<double> exact = Losses(*alone_, {});
  const std::vector<double> expected = Losses(*alone_, {.dtype = DType::kBFloat16});
  double error = 0.0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error = std::max(error, std::abs(expected[i] - exact[i]) / exact[i]);
  }
  EXPECT_LT(error, 0.01);
  for (const int zero_stage : {0, 1, 2}) {
    ExpectSame(Losses(world_, {.zero_stage = zero_stage, .dtype = DType::kBFloat16}), expected,
               error);
  }
}

TEST_F(TrainStepTest, AStepWithoutTargetsIsSkipped) {
  TrainState state(SmallModel(), {.decoder = {.max_tokens = 200}, .optimizer = {}, .zero_stage = 1},
                   world_);
  state.Initialize(kSeed);
  const std::vector<std::byte> before(state.buffers().weights(), state.buffers().weights() + 4096);
  const TrainStepResult result = TrainStep(state, {.microbatches = {}, .learning_rate = 1e-3});
  EXPECT_TRUE(result.skipped);
  EXPECT_EQ(result.target_weight, 0.0);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), state.buffers().weights()));
}

TEST_F(TrainStepTest, RanksWithoutDocumentsTakePart) {
  const std::vector<Batch> all = {testing::MakeBatch(SmallModel(), {20, 33}),
                                  testing::MakeBatch(SmallModel(), {7, 12}, 2)};
  const std::vector<Batch> none;
  const auto loss_on = [&](Communicator& communicator, int zero_stage) {
    TrainState state(SmallModel(),
                     {.decoder = {.max_tokens = 200}, .optimizer = {}, .zero_stage = zero_stage},
                     communicator);
    state.Initialize(kSeed);
    double loss = 0.0;
    for (int step = 0; step < 3; ++step) {
      loss = TrainStep(state, {.microbatches = communicator.rank() == 0 ? all : none,
                               .learning_rate = 3e-3,
                               .seed = kSeed,
                               .step = step})
                 .loss;
    }
    return loss;
  };
  const double expected = loss_on(*alone_, 1);
  for (const int zero_stage : {1, 2}) {
    const double loss = loss_on(world_, zero_stage);
    if (world_.rank() == 0) {
      EXPECT_NEAR(loss, expected, 1e-5 * expected) << "ZeRO " << zero_stage;
    }
  }
}

TEST_F(TrainStepTest, AParameterThatIsNotFiniteIsNamed) {
  TrainState state(SmallModel(), {.decoder = {.max_tokens = 200}, .optimizer = {}, .zero_stage = 0},
                   *alone_);
  state.Initialize(kSeed);
  const Batch batch = testing::MakeBatch(SmallModel(), {20, 33}, 1, /*first_sample=*/4711);
  state.buffers().Weight(state.table().Find("model.embed_tokens.weight")).As<float>()[0] = NAN;
  try {
    TrainStep(state, {.microbatches = std::span(&batch, 1), .learning_rate = 1e-3, .step = 17});
    FAIL() << "accepted";
  } catch (const MachineError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("47"), std::string::npos) << message;
    EXPECT_NE(message.find("step 17"), std::string::npos) << message;
    EXPECT_NE(message.find("rank 0"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace sequela

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  sequela::World& world = sequela::World::Start();
  const int result = RUN_ALL_TESTS();
  world.Finalize();
  return result;
}
