// ctest: labels=sanitize timeout=300
// The whole model against the fp64 textbook (tests/reference/decoder_reference.h), and what it
// promises about documents, batches, threads, recomputation and dropout.
#include "trainer/model/decoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <ostream>
#include <string>

#include "kernels/base/philox.h"
#include "tests/reference/decoder_reference.h"
#include "tests/testing/tiny_model.h"
#include "tests/testing/tolerance.h"

namespace sequela {
namespace {

using reference::DecoderReference;
using reference::Matrix;
using testing::Joined;
using testing::MakeBatch;
using testing::OneDocument;

// A model with weights and the passes that tests make over it.
class TinyModel {
 public:
  explicit TinyModel(const ModelConfig& config, DecoderOptions options = {})
      : decoder_(config, WithRoom(options)),
        buffers_(decoder_.table(), decoder_.options().compute_dtype) {
    testing::FillWeights(config, buffers_);
  }

  Matrix<double> Logits(const Batch& batch) {
    Matrix<float> logits(batch.num_tokens(), decoder_.config().vocab_size);
    decoder_.Logits(buffers_, batch, logits.values);
    return logits.As<double>();
  }
  std::vector<float> Nll(const Batch& batch) { return decoder_.Evaluate(buffers_, batch).nll; }
  BatchLoss Backward(const Batch& batch, const PassHooks& hooks = {}) {
    buffers_.ZeroGradients();
    return decoder_.ForwardBackward(buffers_, batch, {.seed = 5, .step = 3}, hooks);
  }
  double Loss(const Batch& batch) { return Backward(batch).loss_sum; }
  std::vector<float> Gradients(const Batch& batch) {
    Backward(batch);
    return {buffers_.gradients().begin(), buffers_.gradients().end()};
  }
  DecoderReference<double> Reference() {
    return {
        .config = decoder_.config(), .parameters = reference::ParametersOf(buffers_), .store = {}};
  }

  Decoder& decoder() { return decoder_; }
  FlatBuffers& buffers() { return buffers_; }
  const ParameterTable& table() { return decoder_.table(); }

 private:
  static DecoderOptions WithRoom(DecoderOptions options) {
    options.max_tokens = 160;
    return options;
  }
  Decoder decoder_;
  FlatBuffers buffers_;
};

double RootMeanSquare(const std::vector<double>& values) {
  double squares = 0.0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

double LargestDifference(const Matrix<double>& a, const Matrix<double>& b) {
  return testing::ErrorsOf(a, b).max;
}

struct Variant {
  std::string name;
  ModelConfig config;
};
void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

class DecoderVariantTest : public ::testing::TestWithParam<Variant> {};

TEST_P(DecoderVariantTest, LogitsAreThoseOfTheTextbook) {
  TinyModel model(GetParam().config);
  const Batch batch = MakeBatch(GetParam().config, {9, 1, 0, 33, 70});
  const Matrix<double> exact = model.Reference().Logits(batch);
  EXPECT_LT(LargestDifference(model.Logits(batch), exact),
            2e-6 * RootMeanSquare(exact.values) * 10);
}

// The derivative of the fp64 loss along a random direction within each parameter, and along some of
// its elements, by central differences.
TEST_P(DecoderVariantTest, GradientsAreTheDerivativesOfTheTextbooksLoss) {
  TinyModel model(GetParam().config);
  const Batch batch = MakeBatch(GetParam().config, {5, 0, 1, 11});
  model.Backward(batch);
  DecoderReference<double> reference = model.Reference();
  for (int i = 0; i < model.table().num_pieces(); ++i) {
    const ParameterPiece& piece = model.table().piece(i);
    const float* gradient = model.buffers().Gradient(i).As<float>();
    std::vector<double>& values = reference.parameters.at(piece.name).values;
    const std::vector<double> before = values;
    double norm = 0.0;
    for (std::size_t j = 0; j < values.size(); ++j) norm += std::pow(double{gradient[j]}, 2);
    norm = std::sqrt(norm);
    PhiloxStream stream(7, HashName(piece.name), 0);
    for (int trial = 0; trial < 4; ++trial) {
      std::vector<double> direction(values.size(), 0.0);
      if (trial == 0) {
        for (double& d : direction) d = stream.NextNormal();
      } else {
        direction[stream.NextWord() % direction.size()] = 1.0;
      }
      const auto loss_at = [&](double step) {
        for (std::size_t j = 0; j < values.size(); ++j) values[j] = before[j] + step * direction[j];
        return reference.Loss(batch);
      };
      constexpr double kStep = 1e-5;
      const double numeric = (loss_at(kStep) - loss_at(-kStep)) / (2.0 * kStep);
      double analytic = 0.0;
      for (std::size_t j = 0; j < values.size(); ++j) analytic += direction[j] * gradient[j];
      EXPECT_NEAR(analytic, numeric, 1e-5 * norm * (trial == 0 ? 3.0 : 1.0) + 1e-7) << piece.name;
    }
    values = before;
  }
}

TEST_P(DecoderVariantTest, ThreadsChangeNoBit) {
  TinyModel one(GetParam().config, {.num_threads = 1});
  const Batch batch = MakeBatch(GetParam().config, {40, 3, 77});
  const std::vector<float> gradients = one.Gradients(batch);
  for (const int threads : {2, 3}) {
    TinyModel several(GetParam().config, {.num_threads = threads});
    EXPECT_EQ(several.Nll(batch), one.Nll(batch));
    EXPECT_EQ(several.Gradients(batch), gradients);
  }
}

TEST_P(DecoderVariantTest, RecomputationChangesNoBit) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    ModelConfig config = GetParam().config;
    config.dropout = 0.2;
    config.attention_dropout = 0.1;
    TinyModel keeping(config, {.compute_dtype = dtype});
    const Batch batch = MakeBatch(config, {40, 3, 77});
    const double loss = keeping.Loss(batch);
    const std::vector<float> gradients = keeping.Gradients(batch);
    for (const Recompute level : {Recompute::kSelective, Recompute::kFull}) {
      TinyModel again(config, {.compute_dtype = dtype, .recompute = level});
      EXPECT_EQ(again.Loss(batch), loss) << NameOf(level);
      EXPECT_EQ(again.Gradients(batch), gradients) << NameOf(level);
      EXPECT_LT(again.decoder().arena_bytes(), keeping.decoder().arena_bytes());
    }
  }
}

// Twice the error of the textbook with the same rounding points, 1.2 times on average.
TEST_P(DecoderVariantTest, Bf16KeepsToTheRule) {
  TinyModel model(GetParam().config, {.compute_dtype = DType::kBFloat16});
  const Batch batch = MakeBatch(GetParam().config, {9, 1, 33, 60});
  DecoderReference<double> exact = model.Reference();
  DecoderReference<float> honest{.config = exact.config,
                                 .parameters = {},
                                 .store = [](float value) { return ToFloat(ToBf16(value)); }};
  for (const auto& [name, values] : exact.parameters) {
    honest.parameters[name] = values.As<float>();
  }
  EXPECT_TRUE(testing::WithinTheRule(model.Logits(batch), honest.Logits(batch).As<double>(),
                                     exact.Logits(batch)));
}

INSTANTIATE_TEST_SUITE_P(Families, DecoderVariantTest,
                         ::testing::Values(Variant{"Llama", testing::TinyLlama()},
                                           Variant{"TiedLlamaWithBiases",
                                                   testing::TinyTiedLlamaWithBiases()},
                                           Variant{"Qwen2", testing::TinyQwen2()},
                                           Variant{"Qwen3", testing::TinyQwen3()},
                                           Variant{"Timed", testing::TinyTimed()}),
                         [](const auto& variant) { return variant.param.name; });

TEST(DecoderTest, TheContentOfADocumentChangesNoBitOfAnother) {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    TinyModel model(testing::TinyQwen3(), {.compute_dtype = dtype});
    const Batch batch = MakeBatch(testing::TinyQwen3(), {20, 50, 1, 33});
    Batch scrambled = batch;
    const Batch other = MakeBatch(testing::TinyQwen3(), {20, 50, 1, 33}, /*seed=*/2);
    for (int t = 20; t < 70; ++t) scrambled.token[t] = other.token[t];
    const Matrix<double> before = model.Logits(batch);
    const Matrix<double> after = model.Logits(scrambled);
    const std::vector<float> nll_before = model.Nll(batch);
    const std::vector<float> nll_after = model.Nll(scrambled);
    bool is_scrambled = false;
    for (std::int64_t t = 0; t < batch.num_tokens(); ++t) {
      const bool own = t >= 20 && t < 70;
      is_scrambled |= own && before(t, 0) != after(t, 0);
      if (own) continue;
      EXPECT_EQ(nll_before[t], nll_after[t]) << t;
      for (std::int64_t c = 0; c < before.columns; ++c) ASSERT_EQ(before(t, c), after(t, c)) << t;
    }
    EXPECT_TRUE(is_scrambled);
  }
}

// A row's logits alone, in other company and in another order.
TEST(DecoderTest, CompanyAndOrderChangeLogitsByRoundingAtMost) {
  TinyModel model(testing::TinyLlama());
  const Batch batch = MakeBatch(testing::TinyLlama(), {20, 50, 1, 33});
  const Matrix<double> together = model.Logits(batch);
  const Batch reversed = Joined(
      {OneDocument(batch, 3), OneDocument(batch, 2), OneDocument(batch, 1), OneDocument(batch, 0)});
  const Matrix<double> backwards = model.Logits(reversed);
  const double tolerance = 1e-5 * RootMeanSquare(together.values);
  for (const int document : {0, 1, 2, 3}) {
    const Matrix<double> alone = model.Logits(OneDocument(batch, document));
    const std::int64_t begin = batch.document_begin[document];
    const std::int64_t begin_reversed = reversed.document_begin[3 - document];
    for (std::int64_t t = 0; t < alone.rows; ++t) {
      for (std::int64_t c = 0; c < alone.columns; ++c) {
        ASSERT_NEAR(alone(t, c), together(begin + t, c), tolerance);
        ASSERT_NEAR(alone(t, c), backwards(begin_reversed + t, c), tolerance);
      }
    }
  }
}

TEST(DecoderTest, ALossIsTheWeightedSumOfTheDocumentsLosses) {
  TinyModel model(testing::TinyQwen2());
  const Batch batch = MakeBatch(testing::TinyQwen2(), {20, 50, 1, 33});
  const BatchLoss loss = model.Backward(batch);
  EXPECT_NEAR(loss.loss_sum, model.Reference().Loss(batch), 1e-6 * loss.loss_sum);
  EXPECT_EQ(loss.non_finite_row, -1);
}

TEST(DecoderTest, DropoutBelongsToTheSampleNotToTheBatch) {
  ModelConfig config = testing::TinyLlama();
  config.dropout = 0.3;
  config.attention_dropout = 0.3;
  TinyModel model(config);
  const Batch batch = MakeBatch(config, {20, 50, 33});
  const double together = model.Loss(batch);
  double apart = 0.0;
  for (const int document : {2, 0, 1}) apart += model.Loss(OneDocument(batch, document));
  EXPECT_NEAR(apart, together, 1e-5 * together);
  EXPECT_GT(std::abs(TinyModel(testing::TinyLlama()).Loss(batch) - together), 1e-3 * together);
  Batch renamed = batch;
  renamed.sample[1] = 7;
  EXPECT_GT(std::abs(model.Loss(renamed) - together), 1e-4 * together);
}

// The gradient with dropout is that of the loss with the same mask: checked along the gradient.
TEST(DecoderTest, BackwardDropsWhatForwardDropped) {
  ModelConfig config = testing::TinyLlama();
  config.dropout = 0.3;
  config.attention_dropout = 0.3;
  TinyModel model(config);
  const Batch batch = MakeBatch(config, {20, 50});
  const std::vector<float> gradients = model.Gradients(batch);
  double squares = 0.0;
  for (const float g : gradients) squares += double{g} * double{g};
  const auto loss_at = [&](double step) {
    testing::FillWeights(config, model.buffers());
    auto* weights = reinterpret_cast<float*>(model.buffers().weights());
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      weights[i] += static_cast<float>(step * double{gradients[i]});
    }
    return model.Loss(batch);
  };
  const double step = 4e-4 / std::sqrt(squares);
  EXPECT_NEAR((loss_at(step) - loss_at(-step)) / (2.0 * step), squares, 2e-3 * squares);
}

TEST(DecoderTest, EveryPieceIsCompleteWhenItIsReportedAndInTheTablesOrder) {
  for (const ModelConfig& config : {testing::TinyTiedLlamaWithBiases(), testing::TinyQwen3()}) {
    TinyModel model(config);
    std::vector<std::vector<float>> reported;
    const auto gradient_of = [&](int piece) {
      const TensorView view = model.buffers().Gradient(piece);
      return std::vector<float>(view.As<float>(), view.As<float>() + view.rows * view.columns);
    };
    model.Backward(MakeBatch(config, {20, 50}), {.piece_complete =
                                                     [&](int piece) {
                                                       ASSERT_EQ(piece, std::ssize(reported));
                                                       reported.push_back(gradient_of(piece));
                                                     },
                                                 .after_operation = {}});
    ASSERT_EQ(std::ssize(reported), model.table().num_pieces());
    for (int piece = 0; piece < model.table().num_pieces(); ++piece) {
      EXPECT_EQ(gradient_of(piece), reported[static_cast<std::size_t>(piece)])
          << model.table().piece(piece).name;
    }
  }
}

TEST(DecoderTest, ABatchWithoutTokensOrTargetsIsFine) {
  TinyModel model(testing::TinyLlama());
  Batch no_targets = MakeBatch(testing::TinyLlama(), {20, 1});
  std::fill(no_targets.target.begin(), no_targets.target.end(), Batch::kNoTarget);
  for (const Batch& batch :
       {MakeBatch(testing::TinyLlama(), {}), no_targets, MakeBatch(testing::TinyLlama(), {0, 0})}) {
    int pieces = 0;
    const BatchLoss loss =
        model.Backward(batch, {.piece_complete = [&](int) { ++pieces; }, .after_operation = {}});
    EXPECT_EQ(loss.loss_sum, 0.0);
    EXPECT_EQ(pieces, model.table().num_pieces());
    for (const float g : model.buffers().gradients()) ASSERT_EQ(g, 0.0F);
    EXPECT_EQ(std::ssize(model.Nll(batch)), batch.num_tokens());
  }
}

TEST(DecoderTest, EvaluationRanksAndCorrects) {
  const ModelConfig config = testing::TinyLlama();
  TinyModel model(config);
  const Batch batch = MakeBatch(config, {20, 50});
  std::vector<float> log_weight(static_cast<std::size_t>(config.vocab_size));
  for (std::size_t v = 0; v < log_weight.size(); ++v) log_weight[v] = v % 2 == 0 ? 0.7F : -0.2F;
  const TokenScores scores = model.decoder().Evaluate(
      model.buffers(), batch, {.log_class_weight = log_weight, .group_of_token = {}});
  const Matrix<double> logits = model.Reference().Logits(batch);
  for (std::int64_t t = 0; t < batch.num_tokens(); ++t) {
    const std::int32_t target = batch.target[t];
    if (target == Batch::kNoTarget) continue;
    double plain = 0.0;
    double corrected = 0.0;
    int rank = 0;
    const auto corrected_logit = [&](std::int32_t v) {
      return logits(t, v) - double{log_weight[static_cast<std::size_t>(v)]};
    };
    for (std::int32_t v = 0; v < config.vocab_size; ++v) {
      plain += std::exp(logits(t, v));
      corrected += std::exp(corrected_logit(v));
      rank += corrected_logit(v) > corrected_logit(target);
    }
    EXPECT_NEAR(scores.nll[t], std::log(plain) - logits(t, target), 1e-4);
    EXPECT_NEAR(scores.corrected_nll[t], std::log(corrected) - corrected_logit(target), 1e-4);
    EXPECT_EQ(scores.rank[t], rank) << "probabilities are corrected before they are ranked";
  }
}

TEST(DecoderTest, ADecoderForEvaluationAloneGivesTheSameBits) {
  TinyModel training(testing::TinyQwen3());
  TinyModel evaluating(testing::TinyQwen3(), {.with_backward = false});
  const Batch batch = MakeBatch(testing::TinyQwen3(), {20, 50});
  EXPECT_EQ(evaluating.Nll(batch), training.Nll(batch));
  EXPECT_LT(evaluating.decoder().arena_bytes(), training.decoder().arena_bytes());
}

}  // namespace
}  // namespace sequela
