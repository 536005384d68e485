// ctest: timeout=300
// Tiny models that Hugging Face's code ran: logits, losses of tokens, every gradient and five AdamW
// steps. Runs every folder of SEQUELA_HF_FIXTURES (default: peers/hf_fixtures of the folder
// `shared` beside the source), each with config.json, model.safetensors, reference.safetensors,
// train.json.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "kernels/base/atomic_file.h"
#include "runtime/safetensors.h"
#include "trainer/model/hf_model.h"
#include "trainer/training/train_step.h"

namespace sequela {
namespace {

constexpr double kLogitTolerance = 5e-5;
constexpr double kGradientTolerance = 2e-5;
constexpr double kAdamwTolerance = 1e-4;

std::filesystem::path FixtureRoot() {
  const char* named = std::getenv("SEQUELA_HF_FIXTURES");
  if (named != nullptr) return named;
  return std::filesystem::path(SEQUELA_SOURCE_DIR) / "../shared/peers/hf_fixtures";
}

std::vector<std::filesystem::path> FixtureFolders() {
  std::vector<std::filesystem::path> folders;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(FixtureRoot(), missing)) {
    if (std::filesystem::exists(entry.path() / "reference.safetensors") &&
        std::filesystem::exists(entry.path() / "config.json")) {
      folders.push_back(entry.path());
    }
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

template <typename T>
std::vector<T> Values(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsEntry* entry = file.Find(name);
  SEQUELA_CHECK(entry != nullptr, "{}", name);
  std::vector<T> values(entry->bytes.size() / sizeof(T));
  std::memcpy(values.data(), entry->bytes.data(), entry->bytes.size());
  return values;
}

// The fixture's documents as one packed batch.
Batch PackedDocuments(const SafetensorsFile& reference) {
  Batch batch;
  batch.token = Values<std::int32_t>(reference, "input_ids");
  batch.position = Values<std::int32_t>(reference, "position_ids");
  batch.document_begin = Values<std::int32_t>(reference, "cu_seqlens");
  batch.time_us.assign(batch.token.size(), 0);
  for (std::size_t t = 0; t < batch.token.size(); ++t) {
    const bool is_last = t + 1 == batch.token.size() || batch.position[t + 1] == 0;
    batch.target.push_back(is_last ? Batch::kNoTarget : batch.token[t + 1]);
    batch.weight.push_back(is_last ? 0.0F : 1.0F);
  }
  for (std::size_t d = 0; d + 1 < batch.document_begin.size(); ++d) {
    batch.sample.push_back(static_cast<std::int64_t>(d));
  }
  return batch;
}

class HfFixtureTest : public ::testing::TestWithParam<std::filesystem::path> {
 protected:
  HfFixtureTest()
      : reference_(GetParam() / "reference.safetensors"),
        batch_(PackedDocuments(reference_)),
        communicator_(MakeSelfCommunicator()),
        state_(LoadModelConfig(GetParam()),
               {.decoder = {.num_threads = 2, .max_tokens = batch_.num_tokens()},
                .optimizer = {},
                .zero_stage = 0},
               *communicator_) {
    state_.LoadModel(GetParam());
  }

  SafetensorsFile reference_;
  Batch batch_;
  std::unique_ptr<Communicator> communicator_;
  TrainState state_;
};

TEST_P(HfFixtureTest, LogitsAndTokenLosses) {
  const auto expected = Values<float>(reference_, "logits");
  std::vector<float> logits(expected.size());
  state_.decoder().Logits(state_.buffers(), batch_, logits);
  double worst = 0.0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    worst = std::max(worst, std::abs(double{logits[i]} - double{expected[i]}));
  }
  EXPECT_LE(worst, kLogitTolerance);
  RecordProperty("largest_logit_error", std::to_string(worst));
  const auto losses = Values<float>(reference_, "token_loss");
  const TokenScores scores = state_.decoder().Evaluate(state_.buffers(), batch_);
  for (std::size_t t = 0; t < losses.size(); ++t) {
    EXPECT_NEAR(scores.nll[t], losses[t], kLogitTolerance) << t;
  }
}

TEST_P(HfFixtureTest, EveryGradient) {
  state_.buffers().ZeroGradients();
  const BatchLoss loss = state_.decoder().ForwardBackward(state_.buffers(), batch_, {});
  double weight_sum = 0.0;
  for (std::size_t t = 0; t < batch_.target.size(); ++t) {
    if (batch_.target[t] != Batch::kNoTarget) weight_sum += double{batch_.weight[t]};
  }
  EXPECT_NEAR(loss.loss_sum / weight_sum, Values<float>(reference_, "loss")[0], 1e-5);
  for (int piece = 0; piece < state_.table().num_pieces(); ++piece) {
    const std::string& name = state_.table().piece(piece).name;
    const auto expected = Values<float>(reference_, "grad." + name);
    const float* gradient = state_.buffers().Gradient(piece).As<float>();
    double difference = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double ours = double{gradient[i]} / weight_sum;
      difference += std::pow(ours - double{expected[i]}, 2);
      norm += std::pow(double{expected[i]}, 2);
    }
    EXPECT_LE(std::sqrt(difference), kGradientTolerance * std::sqrt(norm)) << name;
  }
}

// Decay on matrices alone, as here; decay on every parameter is no setting of ours.
TEST_P(HfFixtureTest, FiveAdamwSteps) {
  const nlohmann::json train = nlohmann::json::parse(ReadFile(GetParam() / "train.json"));
  const nlohmann::json& expected = train.at("adamw_matrices_only");
  for (int step = 0; step < 6; ++step) {
    const TrainStepResult result = TrainStep(
        state_,
        {.microbatches = std::span(&batch_, 1), .learning_rate = 1e-3, .seed = 0, .step = step});
    const double loss = expected.at("losses_before_each_step_then_after_5").at(step);
    EXPECT_NEAR(result.loss, loss, kAdamwTolerance * loss) << "step " << step;
    if (step == 5) break;
    const double norm = expected.at("grad_norm_before_clip").at(step);
    EXPECT_NEAR(result.gradient_norm, norm, kAdamwTolerance * norm) << "step " << step;
  }
}

std::string NameOfFolder(const ::testing::TestParamInfo<std::filesystem::path>& info) {
  std::string name = info.param.filename().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Folders, HfFixtureTest, ::testing::ValuesIn(FixtureFolders()),
                         NameOfFolder);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(HfFixtureTest);

TEST(HfFixturesTest, AreThere) {
  if (FixtureFolders().empty()) {
    GTEST_SKIP() << "no fixtures in " << FixtureRoot() << "; set SEQUELA_HF_FIXTURES";
  }
}

}  // namespace
}  // namespace sequela
