// ctest: labels=sanitize timeout=120
// Buckets and the optimizer on several ranks against an fp64 AdamW over all microbatches.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "tests/runtime/mpi_main.h"
#include "tests/runtime/toy_training.h"

namespace sequela {
namespace {

using testing::kMicrobatches;
using testing::MaxDifference;
using testing::ToyGradient;
using testing::ToyTraining;
using testing::ToyWeightSum;

constexpr int kSteps = 5;

Communicator& Ranks() { return World::Instance().communicator(); }

std::vector<float> Train(int zero_stage, DType dtype, bool bit_by_bit = true) {
  ToyTraining training(Ranks(), zero_stage, dtype);
  for (int step = 0; step < kSteps; ++step) training.Step(step, bit_by_bit);
  return training.Parameters();
}

// The textbook in fp64, over pieces, knowing nothing of tiles or ranks.
struct Reference {
  std::vector<double> p, m, v;
  double norm = 0;

  void Step(const ParameterTable& table, std::int64_t step) {
    double weight = 0;
    for (int k = 0; k < kMicrobatches; ++k) weight += ToyWeightSum(step, k);
    std::vector<double> gradient;
    double squares = 0;
    for (const ParameterPiece& piece : table.pieces()) {
      for (std::int64_t i = piece.offset; i < piece.end(); ++i) {
        double sum = 0;
        for (int k = 0; k < kMicrobatches; ++k) sum += ToyGradient(step, k, i);
        gradient.push_back(sum / weight);
        squares += gradient.back() * gradient.back();
      }
    }
    norm = std::sqrt(squares);
    Apply(table, gradient, std::min(1.0, 0.5 / (norm + 1e-6)), static_cast<double>(step + 1));
  }

  void Apply(const ParameterTable& table, const std::vector<double>& gradient, double clip,
             double t) {
    std::size_t i = 0;
    for (const ParameterPiece& piece : table.pieces()) {
      const double decay = piece.num_dims > 1 ? 0.1 : 0.0;
      for (std::int64_t j = 0; j < piece.size(); ++j, ++i) {
        const double g = gradient[i] * clip;
        m[i] = 0.9 * m[i] + 0.1 * g;
        v[i] = 0.95 * v[i] + 0.05 * g * g;
        const double m_hat = m[i] / (1 - std::pow(0.9, t));
        const double v_hat = v[i] / (1 - std::pow(0.95, t));
        p[i] -= 0.01 * decay * p[i];
        p[i] -= 0.01 * m_hat / (std::sqrt(v_hat) + 1e-8);
      }
    }
  }
};

class OptimizerTest : public ::testing::TestWithParam<int> {};  // ZeRO stage

TEST_P(OptimizerTest, BucketsHoldTheSumOverRanks) {
  ToyTraining training(Ranks(), GetParam());
  const double weight = training.Backward(3, /*bit_by_bit=*/false);
  const double total = training.buckets.Finish(weight);
  double expected_total = 0;
  for (int k = 0; k < kMicrobatches; ++k) expected_total += ToyWeightSum(3, k);
  EXPECT_DOUBLE_EQ(total, expected_total);
  std::int64_t checked = 0;
  for (const TileRun& run : training.optimizer.runs()) {
    for (std::int64_t i = run.begin; i < run.end; ++i, ++checked) {
      const ParameterPiece& piece = training.table.piece(training.table.PieceAt(i));
      double sum = 0;
      for (int k = 0; k < kMicrobatches && i < piece.end(); ++k) sum += ToyGradient(3, k, i);
      ASSERT_NEAR(training.buffers.gradients()[static_cast<std::size_t>(i)], sum, 4e-7) << i;
    }
  }
  Ranks().AllReduceSum(std::span(&checked, 1));
  const std::int64_t copies = GetParam() == 0 ? Ranks().size() : 1;
  EXPECT_EQ(checked, copies * training.table.num_elements());
}

TEST_P(OptimizerTest, FollowsTheTextbookOnAnyNumberOfRanks) {
  ToyTraining training(Ranks(), GetParam());
  Reference reference;
  for (const float value : training.Parameters()) reference.p.push_back(value);
  reference.m.resize(reference.p.size());
  reference.v.resize(reference.p.size());
  for (int step = 0; step < kSteps; ++step) {
    const UpdateResult result = training.Step(step);
    reference.Step(training.table, step);
    EXPECT_NEAR(result.gradient_norm, reference.norm, 1e-6 * reference.norm);
  }
  const std::vector<float> parameters = training.Parameters();
  const std::vector<float> expected(reference.p.begin(), reference.p.end());
  EXPECT_LT(MaxDifference(parameters, expected), 1e-6);
}

TEST_P(OptimizerTest, TheMomentOfLeavingChangesNoBit) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    EXPECT_EQ(MaxDifference(Train(GetParam(), dtype, true), Train(GetParam(), dtype, false)), 0.0);
  }
}

TEST_P(OptimizerTest, NoTargetsNoUpdate) {
  ToyTraining training(Ranks(), GetParam());
  const std::vector<float> before = training.Parameters();
  training.Backward(0);
  const UpdateResult result = training.optimizer.Update(Exec{}, 0.01, training.buckets.Finish(0));
  EXPECT_TRUE(result.skipped);
  EXPECT_EQ(training.optimizer.num_updates(), 0);
  EXPECT_EQ(MaxDifference(training.Parameters(), before), 0.0);
}

TEST_P(OptimizerTest, NamesTheParameterWhoseGradientIsNotFinite) {
  ToyTraining training(Ranks(), GetParam());
  const ParameterPiece& piece = training.table.piece(training.table.Find("v.weight"));
  for (const float poison : {std::numeric_limits<float>::quiet_NaN(), INFINITY}) {
    // One bucket: nothing leaves before the poison is found, so nothing stays under way.
    GradientBuckets buckets(training.buffers, Ranks(), GetParam());
    buckets.Begin(5, 1);
    training.AddGradients(5, 0);
    training.buffers.gradients()[static_cast<std::size_t>(piece.offset + 48 + 3)] = poison;
    try {
      buckets.EndMicrobatch();
      buckets.Finish(1.0);
      FAIL() << "went unnoticed";
    } catch (const NonFiniteGradient& error) {
      EXPECT_EQ(error.parameter(), "v.weight");
      EXPECT_NE(std::string(error.what()).find("[1, 3]"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("step 5"), std::string::npos) << error.what();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(ZeroStages, OptimizerTest, ::testing::Values(0, 1, 2));

TEST(ZeroTest, StagesAgreeBitForBitAndAllRanksHoldTheSame) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    const std::vector<float> replicated = Train(0, dtype);
    std::vector<float> sharded = Train(1, dtype);
    EXPECT_EQ(MaxDifference(replicated, sharded), 0.0);
    Ranks().Broadcast(std::as_writable_bytes(std::span(sharded)), 0);
    EXPECT_EQ(MaxDifference(replicated, sharded), 0.0);
  }
}

TEST(ZeroTest, ShardsOfAllRanksCoverEveryTileOnce) {
  const std::int64_t tiles = 37;
  const BucketPlan plan(tiles * kTileElements, testing::kToyBucketBytes, Ranks().size());
  std::vector<int> owners(static_cast<std::size_t>(tiles));
  for (int shard = 0; shard < plan.num_shards(); ++shard) {
    for (const TileRun& run : plan.ShardRuns(shard)) {
      for (std::int64_t t = run.begin / kTileElements; t < run.end / kTileElements; ++t) {
        ++owners[static_cast<std::size_t>(t)];
      }
    }
  }
  EXPECT_EQ(std::count(owners.begin(), owners.end(), 1), tiles);
}

}  // namespace
}  // namespace sequela
