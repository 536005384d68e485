#include "trainer/model/model_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

void Require(bool condition, std::string_view key, const std::string& found,
             std::string_view expected) {
  if (!condition) {
    throw InputError("model.{}: found {}, expected {}", key, found, expected);
  }
}

void RequireSize(std::string_view key, std::int64_t value, std::int64_t most) {
  Require(value > 0 && value <= most, key, std::to_string(value),
          fmt::format("a number from 1 to {}", most));
}

void RequireShare(std::string_view key, double value, bool one_allowed) {
  Require(value >= 0.0 && (value < 1.0 || (one_allowed && value == 1.0)), key,
          fmt::format("{}", value), one_allowed ? "0 to 1" : "0 or more and below 1");
}

void ValidateSizes(const ModelConfig& config) {
  constexpr std::int64_t kAny = std::numeric_limits<std::int32_t>::max();
  RequireSize("vocab_size", config.vocab_size, 1 << 28);
  RequireSize("hidden_size", config.hidden_size, 1 << 20);
  RequireSize("intermediate_size", config.intermediate_size, 1 << 20);
  RequireSize("num_hidden_layers", config.num_hidden_layers, 1000);
  RequireSize("num_attention_heads", config.num_attention_heads, 4096);
  RequireSize("num_key_value_heads", config.num_key_value_heads, 4096);
  RequireSize("head_dim", config.head_dim, kAny);
  RequireSize("max_position_embeddings", config.max_position_embeddings, kAny);
  Require(config.num_attention_heads % config.num_key_value_heads == 0, "num_key_value_heads",
          std::to_string(config.num_key_value_heads),
          fmt::format("a divisor of num_attention_heads ({})", config.num_attention_heads));
  Require(config.head_dim % 8 == 0 && config.head_dim <= 256, "head_dim",
          std::to_string(config.head_dim), "a multiple of 8, at most 256");
  Require(config.initializer_range > 0.0 && config.initializer_range < 10.0, "initializer_range",
          fmt::format("{}", config.initializer_range), "a number between 0 and 10");
}

void ValidatePositions(const ModelConfig& config) {
  Require(config.rope_theta > 1.0 && std::isfinite(config.rope_theta), "rope_theta",
          fmt::format("{}", config.rope_theta), "a number above 1");
  RequireShare("rope_time_fraction", config.rope_time_fraction, /*one_allowed=*/true);
  Require(config.rope_time_min_period_seconds > 0.0, "rope_time_min_period_seconds",
          fmt::format("{}", config.rope_time_min_period_seconds), "a number above 0");
  const double max_seconds = config.rope_time_max_period_years * 365.25 * 86400.0;
  Require(max_seconds > config.rope_time_min_period_seconds && std::isfinite(max_seconds),
          "rope_time_max_period_years", fmt::format("{}", config.rope_time_max_period_years),
          "a period longer than rope_time_min_period_seconds");
  if (config.position == PositionKind::kBoth) {
    const std::int32_t pairs = config.num_time_pairs();
    Require(
        pairs > 0 && pairs < config.head_dim / 2, "rope_time_fraction",
        fmt::format("{} ({} of {} pairs)", config.rope_time_fraction, pairs, config.head_dim / 2),
        "a share that leaves at least one pair to time and one to the index; or set "
        "model.position to index or time");
  }
}

void ValidateBiases(const ModelConfig& config) {
  const std::string_view type = NameOf(config.model_type);
  const bool is_qwen3 = config.model_type == ModelType::kQwen3;
  Require(config.qk_norm == is_qwen3, "qk_norm", config.qk_norm ? "true" : "false",
          fmt::format("{} for model type {}", is_qwen3, type));
  Require(config.attention_bias || config.model_type != ModelType::kQwen2, "attention_bias",
          "false", "true for model type qwen2");
  Require(!config.mlp_bias || config.model_type == ModelType::kLlama, "mlp_bias", "true",
          fmt::format("false for model type {}", type));
}

}  // namespace

std::string_view NameOf(ModelType type) {
  constexpr std::array<std::string_view, 3> kNames = {"llama", "qwen2", "qwen3"};
  return kNames.at(static_cast<std::size_t>(type));
}

std::string_view NameOf(PositionKind kind) {
  constexpr std::array<std::string_view, 3> kNames = {"index", "time", "both"};
  return kNames.at(static_cast<std::size_t>(kind));
}

PositionKind ParsePositionKind(std::string_view name) {
  for (const auto kind : {PositionKind::kIndex, PositionKind::kTime, PositionKind::kBoth}) {
    if (name == NameOf(kind)) return kind;
  }
  throw InputError("position: found '{}', expected index, time or both", name);
}

std::int32_t ModelConfig::num_time_pairs() const {
  const std::int32_t pairs = head_dim / 2;
  if (position == PositionKind::kIndex) return 0;
  if (position == PositionKind::kTime) return pairs;
  return static_cast<std::int32_t>(std::lround(rope_time_fraction * pairs));
}

ModelType ModelTypeFor(bool qk_norm, bool attention_bias) {
  if (qk_norm) return ModelType::kQwen3;
  return attention_bias ? ModelType::kQwen2 : ModelType::kLlama;
}

void ValidateModelConfig(const ModelConfig& config) {
  ValidateSizes(config);
  Require(config.rms_norm_eps > 0.0 && config.rms_norm_eps < 1.0, "rms_norm_eps",
          fmt::format("{}", config.rms_norm_eps), "a number between 0 and 1");
  ValidatePositions(config);
  RequireShare("dropout", config.dropout, /*one_allowed=*/false);
  RequireShare("attention_dropout", config.attention_dropout, /*one_allowed=*/false);
  ValidateBiases(config);
}

std::int64_t CountParameters(const ModelConfig& config) {
  const std::int64_t d = config.hidden_size;
  const std::int64_t f = config.intermediate_size;
  std::int64_t layer = 2 * d;
  if (config.attention_bias) layer += config.qkv_size();
  if (config.output_bias()) layer += d;
  if (config.mlp_bias) layer += 2 * f + d;
  if (config.qk_norm) layer += 2 * config.head_dim;
  const std::int64_t embedding = d * config.vocab_size;
  return CountMatmulParameters(config) + config.num_hidden_layers * layer + d +
         (config.tie_word_embeddings ? 0 : embedding);
}

std::int64_t CountMatmulParameters(const ModelConfig& config) {
  const std::int64_t d = config.hidden_size;
  const std::int64_t layer = d * config.qkv_size() + d * config.q_size() +
                             3 * d * static_cast<std::int64_t>(config.intermediate_size);
  return config.num_hidden_layers * layer + d * config.vocab_size;
}

}  // namespace sequela
