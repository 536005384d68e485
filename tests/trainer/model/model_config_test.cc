// ctest: labels=sanitize
#include "trainer/model/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "kernels/base/errors.h"
#include "tests/testing/tiny_model.h"
#include "trainer/model/parameter_pieces.h"

namespace sequela {
namespace {

using ::testing::HasSubstr;

// A Hugging Face config.json with some keys replaced; a null removes the key.
ModelConfig Read(const nlohmann::json& changes) {
  nlohmann::json json = {
      {"model_type", "llama"},    {"vocab_size", 320},      {"hidden_size", 64},
      {"intermediate_size", 96},  {"num_hidden_layers", 2}, {"num_attention_heads", 4},
      {"num_key_value_heads", 2}, {"hidden_act", "silu"},   {"max_position_embeddings", 128}};
  json.merge_patch(changes);
  return ModelConfigFromJson(json.dump(), "some/config.json");
}

std::string RefusalOf(const nlohmann::json& changes) {
  try {
    Read(changes);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ModelConfigTest, WhatIsWrittenReadsBackTheSame) {
  ModelConfig timed = testing::TinyTimed();
  timed.rope_time_fraction = 0.25;
  timed.rope_time_max_period_years = 120;
  timed.dropout = 0.1;
  for (const ModelConfig& config : {testing::TinyLlama(), testing::TinyTiedLlamaWithBiases(),
                                    testing::TinyQwen2(), testing::TinyQwen3(), timed}) {
    EXPECT_EQ(ModelConfigFromJson(ModelConfigToJson(config, DType::kFloat32), "config.json"),
              config);
  }
}

TEST(ModelConfigTest, ReadsBothPlacesOfRopeTheta) {
  EXPECT_EQ(Read({{"rope_theta", 5e5}}).rope_theta, 5e5);
  EXPECT_EQ(Read({{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 7e5}}}}).rope_theta,
            7e5);
  EXPECT_EQ(Read(nlohmann::json::object()).rope_theta, 1e4);
  EXPECT_THAT(RefusalOf({{"model_type", "qwen3"}}), HasSubstr("rope_theta is missing"));
}

TEST(ModelConfigTest, FillsInWhatHuggingFaceLeavesOut) {
  const ModelConfig config = Read({{"num_key_value_heads", nullptr}});
  EXPECT_EQ(config.num_key_value_heads, 4);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_TRUE(Read({{"model_type", "qwen2"}, {"rope_theta", 1e6}}).attention_bias);
}

// Defaults of the configuration classes in transformers 4 and 5.
TEST(ModelConfigTest, AMissingHeadDimIsTheArchitecturesDefault) {
  EXPECT_EQ(Read({{"model_type", "qwen3"}, {"rope_theta", 1e6}}).head_dim, 128);
  EXPECT_EQ(Read({{"model_type", "qwen3"}, {"rope_theta", 1e6}, {"head_dim", 32}}).head_dim, 32);
  EXPECT_EQ(Read({{"model_type", "qwen2"}, {"rope_theta", 1e6}}).head_dim, 16);
}

TEST(ModelConfigTest, SeesScalingInEitherPlace) {
  const nlohmann::json plain = {{"rope_type", "default"}, {"rope_theta", 7e5}};
  EXPECT_THAT(RefusalOf({{"rope_parameters", plain}, {"rope_scaling", {{"rope_type", "yarn"}}}}),
              HasSubstr("rope_scaling"));
  EXPECT_THAT(RefusalOf({{"rope_parameters", plain}, {"rope_scaling", {{"type", "linear"}}}}),
              HasSubstr("rope_scaling"));
  EXPECT_EQ(RefusalOf({{"rope_parameters", plain}, {"rope_theta", 7e5}}), "accepted");
  EXPECT_THAT(RefusalOf({{"rope_parameters", plain}, {"rope_theta", 1e4}}),
              HasSubstr("another rope_theta"));
  EXPECT_THAT(RefusalOf({{"rope_parameters", {{"full_attention", plain}}}}), HasSubstr("by layer"));
}

TEST(ModelConfigTest, SizesAreBoundedAndNeverWrapAround) {
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "num_key_value_heads"}) {
    EXPECT_THAT(RefusalOf({{key, 2147483647}}), HasSubstr(key));
    EXPECT_THAT(RefusalOf({{key, (std::int64_t{1} << 32) + 64}}), HasSubstr(key));
    EXPECT_THAT(RefusalOf({{key, 18446744073709551615U}}), HasSubstr(key));
    EXPECT_THAT(RefusalOf({{key, -4}}), HasSubstr(key));
  }
  ModelConfig largest = testing::TinyLlama();
  largest.vocab_size = 1 << 28;
  largest.hidden_size = largest.intermediate_size = 1 << 20;
  largest.num_hidden_layers = 1000;
  EXPECT_NO_THROW(ValidateModelConfig(largest));
  const double matrices = 1000.0 * 3 * 0x1p40 + 2 * 0x1p48;
  EXPECT_NEAR(static_cast<double>(CountParameters(largest)) / matrices, 1.0, 1e-3);
}

TEST(ModelConfigTest, NamesTheTokensThatBeginAndEndASequence) {
  ModelConfig config = testing::TinyLlama();
  EXPECT_TRUE(nlohmann::json::parse(ModelConfigToJson(config, DType::kFloat32))
                  .at("eos_token_id")
                  .is_null());
  config.bos_token_id = 1;
  config.eos_token_id = 2;
  const auto json = nlohmann::json::parse(ModelConfigToJson(config, DType::kFloat32));
  EXPECT_EQ(json.at("bos_token_id"), 1);
  EXPECT_EQ(json.at("eos_token_id"), 2);
  EXPECT_EQ(Read({{"eos_token_id", {3, 4}}}).eos_token_id, -1);
}

TEST(ModelConfigTest, OnlyTimePositionsBringTheirOwnClasses) {
  EXPECT_EQ(ModelTextFiles(testing::TinyLlama(), DType::kFloat32).size(), 1U);
  const auto files = ModelTextFiles(testing::TinyTimed(), DType::kFloat32);
  ASSERT_TRUE(files.contains("modeling_sequela.py"));
  const auto json = nlohmann::json::parse(files.at("config.json"));
  const std::string name = json.at("auto_map").at("AutoModelForCausalLM");
  EXPECT_EQ(name, "modeling_sequela." + json.at("architectures").at(0).get<std::string>());
  EXPECT_THAT(files.at("modeling_sequela.py"), HasSubstr("class SequelaLlamaForCausalLM("));
}

TEST(ModelConfigTest, RefusesByNameWhatItDoesNotCompute) {
  EXPECT_THAT(RefusalOf({{"model_type", "gpt2"}}),
              AllOf(HasSubstr("some/config.json"), HasSubstr("model_type is \"gpt2\"")));
  EXPECT_THAT(RefusalOf({{"hidden_act", "gelu"}}), HasSubstr("hidden_act is \"gelu\""));
  EXPECT_THAT(RefusalOf({{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}}}),
              HasSubstr("rope_scaling"));
  EXPECT_THAT(RefusalOf({{"rope_parameters", {{"rope_type", "llama3"}}}}),
              HasSubstr("rope_parameters"));
  EXPECT_THAT(RefusalOf({{"layer_types", {"full_attention", "sliding_attention"}}}),
              HasSubstr("layer_types"));
  const nlohmann::json sliding = {{"model_type", "qwen2"},
                                  {"rope_theta", 1e6},
                                  {"use_sliding_window", true},
                                  {"sliding_window", 64},
                                  {"max_window_layers", 1}};
  EXPECT_THAT(RefusalOf(sliding), HasSubstr("sliding_window"));
  nlohmann::json unused = sliding;
  unused["use_sliding_window"] = false;
  EXPECT_EQ(RefusalOf(unused), "accepted");
  EXPECT_THAT(RefusalOf({{"quantization_config", {{"bits", 4}}}}),
              HasSubstr("quantization_config"));
}

TEST(ModelConfigTest, SaysWhatIsWrongWithAValue) {
  EXPECT_THAT(RefusalOf({{"vocab_size", nullptr}}), HasSubstr("vocab_size is missing"));
  EXPECT_THAT(RefusalOf({{"hidden_size", "64"}}), HasSubstr("hidden_size is \"64\""));
  const std::string endless = RefusalOf({{"hidden_size", std::vector<int>(1'000'000, 7)}});
  EXPECT_THAT(endless, HasSubstr("hidden_size is [7,7,7,"));
  EXPECT_LT(endless.size(), 300U);
  EXPECT_THAT(RefusalOf({{"num_key_value_heads", 3}}), HasSubstr("num_key_value_heads"));
  EXPECT_THAT(RefusalOf({{"head_dim", 12}}), HasSubstr("multiple of 8"));
  EXPECT_THROW(ModelConfigFromJson("{", "some/config.json"), InputError);
}

TEST(ModelConfigTest, TheTableHoldsAllParameters) {
  for (const ModelConfig& config : {testing::TinyLlama(), testing::TinyTiedLlamaWithBiases(),
                                    testing::TinyQwen2(), testing::TinyQwen3()}) {
    const ParameterTable table = BuildParameterTable(config);
    EXPECT_EQ(table.num_parameters(), CountParameters(config));
    EXPECT_EQ(table.pieces().back().name, "model.embed_tokens.weight");
    EXPECT_EQ(table.Find("lm_head.weight") < 0, config.tie_word_embeddings);
  }
}

}  // namespace
}  // namespace sequela
