// ctest: labels=sanitize timeout=120
// What one number of ranks and ZeRO level writes, any other reads.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "runtime/checkpoint.h"
#include "tests/runtime/mpi_main.h"
#include "tests/runtime/toy_training.h"
#include "tests/testing/temp_folder.h"

namespace sequela {
namespace {

using testing::MaxDifference;
using testing::TempFolder;
using testing::ToyTraining;

Communicator& Ranks() { return World::Instance().communicator(); }

// Rank 0's folder, on all ranks.
class SharedFolder {
 public:
  SharedFolder() : path_(Ranks().BroadcastText(own_.path().string(), 0)) {}
  ~SharedFolder() { Ranks().Barrier(); }
  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  TempFolder own_;
  std::filesystem::path path_;
};

void Save(ToyTraining& training, Communicator& communicator, const std::filesystem::path& folder,
          std::int64_t step) {
  // Two small model files, so that two ranks write the model.
  CheckpointWriter writer(training.optimizer, communicator,
                          {.folder = folder, .model_file_bytes = 20000});
  writer.Start({.step = step, .trainer_state = R"({"rows": 9007199254740993})"});
  // Training goes on while it is written: the snapshot is not touched.
  training.Step(step);
  while (writer.busy()) writer.Poll();
  EXPECT_EQ(writer.last_whole_step(), step);
}

struct Case {
  int save_zero;
  int restore_zero;
  DType dtype;
};
class RestoreTest : public ::testing::TestWithParam<Case> {};

// ZeRO 2 adds over ranks first and over microbatches then, the others the other way round: a step
// of one differs from a step of the other by rounding.
double Rounding(const Case& levels) {
  return (levels.save_zero == 2) == (levels.restore_zero == 2) || Ranks().size() == 1 ? 0.0 : 1e-6;
}

TEST_P(RestoreTest, TheSameRanksGoOnBitForBit) {
  const auto [save_zero, restore_zero, dtype] = GetParam();
  const SharedFolder folder;
  ToyTraining run(Ranks(), save_zero, dtype);
  for (int step = 0; step < 3; ++step) run.Step(step);
  Save(run, Ranks(), folder / "checkpoints", 3);

  ToyTraining resumed(Ranks(), restore_zero, dtype);
  const auto found = FindCheckpoint(folder / "checkpoints", Ranks());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->step, 3);
  EXPECT_EQ(found->world_size, Ranks().size());
  EXPECT_EQ(found->trainer_state, R"({"rows":9007199254740993})");
  RestoreCheckpoint(*found, resumed.optimizer);
  EXPECT_EQ(resumed.optimizer.num_updates(), 3);
  resumed.Step(3);
  EXPECT_LE(MaxDifference(run.Parameters(), resumed.Parameters()), Rounding(GetParam()));
  run.Step(4);
  resumed.Step(4);
  EXPECT_LE(MaxDifference(run.Parameters(), resumed.Parameters()), Rounding(GetParam()));
}

TEST_P(RestoreTest, OneProcessGoesOnFromSeveralRanksAndBack) {
  const auto [save_zero, restore_zero, dtype] = GetParam();
  const SharedFolder folder;
  const auto alone = MakeSelfCommunicator();
  ToyTraining together(Ranks(), save_zero, dtype);
  for (int step = 0; step < 3; ++step) together.Step(step);
  Save(together, Ranks(), folder / "several", 3);

  // Every rank reads it as a process of its own.
  ToyTraining single(*alone, restore_zero, dtype);
  RestoreCheckpoint(*FindCheckpoint(folder / "several"), single.optimizer);
  single.Step(3);
  const double tolerance = dtype == DType::kFloat32 ? 1e-6 : 1e-2;
  EXPECT_LT(MaxDifference(single.Parameters(), together.Parameters()), tolerance);

  if (Ranks().rank() == 0) Save(single, *alone, folder / "single", 4);
  Ranks().Barrier();
  ToyTraining back(Ranks(), restore_zero, dtype);
  RestoreCheckpoint(*FindCheckpoint(folder / "single", Ranks()), back.optimizer);
  back.Step(4);
  together.Step(4);
  EXPECT_LT(MaxDifference(back.Parameters(), together.Parameters()), tolerance);
}

INSTANTIATE_TEST_SUITE_P(Levels, RestoreTest,
                         ::testing::Values(Case{0, 0, DType::kFloat32}, Case{1, 1, DType::kFloat32},
                                           Case{0, 1, DType::kFloat32}, Case{1, 0, DType::kFloat32},
                                           Case{2, 0, DType::kFloat32}, Case{0, 2, DType::kFloat32},
                                           Case{2, 1, DType::kFloat32}, Case{1, 2, DType::kFloat32},
                                           Case{2, 2, DType::kBFloat16},
                                           Case{1, 1, DType::kBFloat16},
                                           Case{1, 0, DType::kBFloat16}));

TEST(CheckpointRanksTest, TheCopyIsAsLargeAsPlanned) {
  const SharedFolder folder;
  for (const int zero_stage : {0, 1, 2}) {
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      ToyTraining training(Ranks(), zero_stage, dtype);
      const CheckpointWriter writer(training.optimizer, Ranks(),
                                    {.folder = folder / "c", .model_file_bytes = 9000});
      EXPECT_EQ(writer.snapshot_bytes(),
                PlanSnapshotBytes(training.table, dtype, training.buckets.plan(), Ranks().rank(),
                                  Ranks().size(), 9000));
    }
  }
}

TEST(CheckpointRanksTest, SavesInARowKeepTheNewest) {
  const SharedFolder folder;
  ToyTraining training(Ranks(), 1);
  CheckpointWriter writer(training.optimizer, Ranks(), {.folder = folder / "c", .keep_last = 2});
  for (int step = 1; step <= 5; ++step) {
    training.Step(step);
    writer.Start({.step = step, .best_step = 2, .trainer_state = "{}"});
    writer.Poll();
  }
  writer.Finish();
  Ranks().Barrier();
  std::string kept;
  for (const int step : {1, 2, 3, 4, 5}) {
    kept += std::filesystem::exists(folder / "c" / CheckpointName(step)) ? '1' : '0';
  }
  EXPECT_EQ(kept, "01011") << "the best and the two newest";
}

}  // namespace
}  // namespace sequela
