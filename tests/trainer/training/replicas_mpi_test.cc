// ctest: timeout=100
// Ranks whose weights differ: nothing of a training with ZeRO 0 notices, but the comparison that
// parallel.check_replicas_every_steps asks for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/base/errors.h"
#include "runtime/world.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_store.h"
#include "trainer/experiment/experiment_yaml.h"
#include "trainer/training/train_loop.h"

namespace sequela {
namespace {

namespace fs = std::filesystem;

class ReplicasTest : public ::testing::Test {
 protected:
  // Each rank begins with weights of its own seed. The message of the failure, or an empty text.
  std::string TrainUnlike(const std::string& override) {
    Communicator& communicator = World::Instance().communicator();
    const fs::path root =
        communicator.BroadcastText(communicator.rank() == 0 ? folder_.path().string() : "", 0);
    if (communicator.rank() == 0) testing::WriteTinyStore(root / "store");
    communicator.Barrier();
    Experiment experiment = ParseExperiment(
        "data: {context_length: 64, global_batch_tokens: 256}\n"
        "model: {num_hidden_layers: 1, hidden_size: 16, intermediate_size: 32,\n"
        "        num_attention_heads: 2, num_key_value_heads: 1}\n"
        "schedule: {steps: 4, warmup_steps: 0}\n"
        "parallel: {device: cpu, threads: 1, zero_stage: 0}\n"
        "evaluation: {every_steps: 0}\n",
        "tiny.yaml");
    experiment.seed = static_cast<std::uint64_t>(1 + communicator.rank());
    experiment.data.store = (root / "store").string();
    experiment.run.folder = (root / "run").string();
    ApplyOverride(override, experiment);
    std::string message;
    try {
      Train(experiment, {}, World::Instance());
    } catch (const MachineError& error) {
      message = error.what();
    }
    communicator.Barrier();
    return message;
  }

  testing::TempFolder folder_;
};

TEST_F(ReplicasTest, AreComparedWhereItIsAskedFor) {
  const std::string message = TrainUnlike("parallel.check_replicas_every_steps=3");
  if (World::Instance().size() == 1) {
    EXPECT_EQ(message, "");
  } else {
    EXPECT_THAT(message, ::testing::HasSubstr("after step 3 rank 1 holds another"));
  }
}

TEST_F(ReplicasTest, AreNotComparedOtherwise) {
  EXPECT_EQ(TrainUnlike("parallel.check_replicas_every_steps=0"), "");
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
