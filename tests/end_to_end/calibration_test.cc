// ctest: timeout=300 arrow
// Event-balanced loss weights bend a model's probabilities, and evaluation bends them back. Truth:
// the distribution that drew the simulated records. A calibration slope is the b of the logistic
// regression logit(truth) = a + b logit(predicted) (Cox 1958): 1 where predictions are neither too
// bold nor too timid.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <span>
#include <vector>

#include "dataio/loader/evaluation_windows.h"
#include "dataio/simulator/simulator_oracle.h"
#include "runtime/checkpoint.h"
#include "tests/testing/tiny_world.h"
#include "trainer/experiment/run_folder.h"
#include "trainer/model/decoder.h"
#include "trainer/model/hf_model.h"

namespace sequela::testing {
namespace {

// Predicted and true probabilities of the same things.
struct Predictions {
  std::vector<double> truth, corrected, uncorrected;
};

// Newton's method on the cross-entropy of logistic(a + b logit(predicted)) under the truth.
double CalibrationSlope(const std::vector<double>& truth, const std::vector<double>& predicted) {
  double a = 0.0;
  double b = 1.0;
  for (int iteration = 0; iteration < 50; ++iteration) {
    double gradient_a = 0.0, gradient_b = 0.0, haa = 0.0, hab = 0.0, hbb = 0.0;
    for (std::size_t i = 0; i < truth.size(); ++i) {
      const double x = std::log(predicted[i]) - std::log1p(-predicted[i]);
      const double p = 1.0 / (1.0 + std::exp(-a - b * x));
      gradient_a += truth[i] - p;
      gradient_b += (truth[i] - p) * x;
      haa += p * (1.0 - p);
      hab += p * (1.0 - p) * x;
      hbb += p * (1.0 - p) * x * x;
    }
    const double determinant = haa * hbb - hab * hab;
    a += (hbb * gradient_a - hab * gradient_b) / determinant;
    b += (haa * gradient_b - hab * gradient_a) / determinant;
  }
  return b;
}

TEST(CalibrationSlopeTest, FindsTheSlopeThatWasPutIn) {
  std::vector<double> truth, predicted;
  for (double x = -6.0; x < 3.0; x += 0.01) {
    predicted.push_back(1.0 / (1.0 + std::exp(-x)));
    truth.push_back(1.0 / (1.0 + std::exp(-0.3 - 1.7 * x)));
  }
  EXPECT_NEAR(CalibrationSlope(truth, predicted), 1.7, 1e-9);
}

class CalibrationTest : public ::testing::Test {
 protected:
  StoredRun TrainWithBalancedWeights() {
    const ProgramResult trained = RunProgram(
        world_.TrainArguments("run", {"objective.event_balance_alpha=0.5", "schedule.steps=120",
                                      "optimizer.learning_rate=0.01", "checkpoint.every_steps=120",
                                      "evaluation.every_steps=0"}),
        {.threads = 2});
    EXPECT_EQ(trained.exit_code, 0) << trained.errors;
    return OpenRun(world_.folder() / "run");
  }

  // Of every token at the held-out targets of one batch, as evaluation sees them.
  Predictions Predict(const StoredRun& run) const {
    const ChainStore store = ChainStore::Open(run.experiment.data.store);
    const SimulatorOracle oracle = SimulatorOracle::ForStore(store);
    const EvaluationWindows windows(store, {.context_length = run.experiment.data.context_length,
                                            .microbatch_tokens = kBatchTokens});
    const auto checkpoint = FindCheckpoint(run.checkpoints());
    Decoder decoder(LoadModelConfig(checkpoint->folder),
                    {.num_threads = 2, .max_tokens = kBatchTokens, .with_backward = false});
    FlatBuffers buffers(decoder.table(), DType::kFloat32, false);
    ModelWeights(checkpoint->folder, decoder.table()).ReadAll(buffers);
    std::vector<float> log_weights;
    for (const float w : run.identity.target_weights) log_weights.push_back(std::log(w));
    Predictions all;
    AddBatch(store, oracle, windows.Load(0), decoder, buffers, log_weights, all);
    return all;
  }

 private:
  static constexpr std::int64_t kBatchTokens = 2048;

  static void AddBatch(const ChainStore& store, const SimulatorOracle& oracle,
                       EvaluationBatch input, Decoder& decoder, FlatBuffers& buffers,
                       std::span<const float> log_weights, Predictions& all) {
    const std::vector<std::vector<double>> distributions = TrueDistributions(store, oracle, input);
    for (std::int32_t token = 0; token < store.vocabulary().size(); ++token) {
      if (!IsTarget(store.vocabulary()[token])) continue;
      // The probability of any token is read where that token is the target.
      for (std::int32_t& target : input.batch.target) {
        if (target != Batch::kNoTarget) target = token;
      }
      const TokenScores scores = decoder.Evaluate(
          buffers, input.batch, {.log_class_weight = log_weights, .group_of_token = {}});
      for (std::size_t t = 0; t < distributions.size(); ++t) {
        if (distributions[t].empty()) continue;
        all.truth.push_back(distributions[t][static_cast<std::size_t>(token)]);
        all.uncorrected.push_back(std::exp(-static_cast<double>(scores.nll[t])));
        all.corrected.push_back(std::exp(-static_cast<double>(scores.corrected_nll[t])));
      }
    }
  }

  // [T][V], empty where a position has no target.
  static std::vector<std::vector<double>> TrueDistributions(const ChainStore& store,
                                                            const SimulatorOracle& oracle,
                                                            const EvaluationBatch& input) {
    std::vector<std::vector<double>> distributions(input.batch.token.size());
    for (std::size_t d = 0; d < input.subject.size(); ++d) {
      const ChainView chain = store.chain(input.subject[d]);
      const auto end = static_cast<std::size_t>(input.batch.document_begin[d + 1]);
      for (auto t = static_cast<std::size_t>(input.batch.document_begin[d]); t < end; ++t) {
        if (input.chain_index[t] >= 0)
          oracle.TokenDistribution(chain, input.chain_index[t], &distributions[t]);
      }
    }
    return distributions;
  }

  TinyWorld world_;
};

TEST_F(CalibrationTest, BalancedWeightsBendProbabilitiesAndEvaluationBendsThemBack) {
  const Predictions all = Predict(TrainWithBalancedWeights());
  ASSERT_GT(all.truth.size(), 50'000U);
  const double corrected = CalibrationSlope(all.truth, all.corrected);
  const double uncorrected = CalibrationSlope(all.truth, all.uncorrected);
  EXPECT_GT(corrected, 0.9);
  EXPECT_LT(corrected, 1.1);
  EXPECT_TRUE(uncorrected < 0.9 || uncorrected > 1.1) << uncorrected;
  std::printf("calibration slope: corrected %.3f, uncorrected %.3f (%zu predictions)\n", corrected,
              uncorrected, all.truth.size());
}

}  // namespace
}  // namespace sequela::testing
