// ctest: timeout=300
// A checkpoint opens in Hugging Face's transformers with the same logits: with index positions as it
// is, with time positions by the classes that lie in it. Runs where SEQUELA_PYTHON names a Python with torch and transformers; skipped elsewhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <ostream>

#include "runtime/checkpoint.h"
#include "runtime/safetensors.h"
#include "runtime/safetensors_writer.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_model.h"
#include "trainer/training/train_state.h"

namespace sequela {
namespace {

struct Variant {
  std::string name;
  ModelConfig config;
  DType dtype = DType::kFloat32;
  double tolerance = 5e-5;
};
void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

ModelConfig TimedAs(ModelConfig config, PositionKind position) {
  config.position = position;
  config.rope_time_fraction = 0.25;
  return config;
}

class TransformersTest : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    const char* python = std::getenv("SEQUELA_PYTHON");
    const std::string probe =
        fmt::format("'{}' -c 'import torch, transformers' 2>/dev/null", python ? python : "");
    if (python == nullptr || std::system(probe.c_str()) != 0) {
      GTEST_SKIP() << "set SEQUELA_PYTHON to a Python with torch and transformers";
    }
  }

  // The folder of a checkpoint of `state`, written as training writes it.
  std::filesystem::path Checkpoint(TrainState& state) {
    CheckpointWriter writer(state.optimizer(), state.communicator(),
                            {.folder = folder_ / "checkpoints"});
    writer.Start({.step = 1,
                  .trainer_state = "{}",
                  .text_files = ModelTextFiles(state.config(), GetParam().dtype)});
    writer.Finish();
    return folder_ / "checkpoints" / CheckpointName(1);
  }

  void WriteInput(const Batch& batch) {
    const auto entry = [](const char* name, const std::vector<std::int32_t>& values) {
      return SafetensorsEntry{.name = name,
                              .dtype = DType::kInt32,
                              .shape = {std::ssize(values)},
                              .bytes = std::as_bytes(std::span(values))};
    };
    const SafetensorsEntry times{.name = "time_us",
                                 .dtype = DType::kInt64,
                                 .shape = {std::ssize(batch.time_us)},
                                 .bytes = std::as_bytes(std::span(batch.time_us))};
    WriteSafetensors(folder_ / "input.safetensors",
                     std::vector{entry("token", batch.token),
                                 entry("document_begin", batch.document_begin), times});
  }

  std::vector<float> LogitsOfTransformers(const std::filesystem::path& checkpoint,
                                          std::size_t count) {
    const std::string command =
        fmt::format("'{}' '{}/tests/trainer/model/transformers_logits.py' '{}' '{}' 2>&1",
                    std::getenv("SEQUELA_PYTHON"), SEQUELA_SOURCE_DIR, checkpoint.string(),
                    folder_.path().string());
    std::vector<float> logits(count);
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    if (HasFailure()) return logits;
    const SafetensorsFile file(folder_ / "logits.safetensors");
    file.ReadFloats("logits", file.Find("logits")->shape, logits);
    return logits;
  }

  testing::TempFolder folder_;
};

TEST_P(TransformersTest, OpensACheckpointWithTheSameLogits) {
  const ModelConfig& config = GetParam().config;
  const auto communicator = MakeSelfCommunicator();
  TrainState state(config,
                   {.decoder = {.compute_dtype = GetParam().dtype, .max_tokens = 64},
                    .optimizer = {},
                    .zero_stage = 0},
                   *communicator);
  FlatBuffers uneven(state.table(), GetParam().dtype);
  testing::FillWeights(config, uneven);
  state.optimizer().Initialize([&](int piece, std::span<float> values) {
    const auto exact = testing::PieceValues(uneven, piece);
    std::copy(exact.begin(), exact.end(), values.begin());
  });
  const Batch batch = testing::MakeBatch(config, {20, 33, 1});
  WriteInput(batch);
  std::vector<float> ours(batch.token.size() * static_cast<std::size_t>(config.vocab_size));
  state.decoder().Logits(state.buffers(), batch, ours);
  const std::vector<float> theirs = LogitsOfTransformers(Checkpoint(state), ours.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    worst = std::max(worst, std::abs(double{ours[i]} - double{theirs[i]}));
  }
  EXPECT_LE(worst, GetParam().tolerance);
}

INSTANTIATE_TEST_SUITE_P(
    Families, TransformersTest,
    ::testing::Values(Variant{"Llama", testing::TinyLlama()},
                      Variant{"TiedLlamaWithBiases", testing::TinyTiedLlamaWithBiases()},
                      Variant{"Qwen2", testing::TinyQwen2()},
                      Variant{"Qwen3", testing::TinyQwen3()},
                      Variant{"TimedLlama", testing::TinyTimed()},
                      Variant{"TimedQwen2", TimedAs(testing::TinyQwen2(), PositionKind::kTime)},
                      Variant{"TimedQwen3", TimedAs(testing::TinyQwen3(), PositionKind::kBoth)},
                      // Their arithmetic is fp32 on our bf16 weights: only rounding differs.
                      Variant{"Qwen3InBf16", testing::TinyQwen3(), DType::kBFloat16, 0.25}),
    [](const auto& variant) { return variant.param.name; });

}  // namespace
}  // namespace sequela
