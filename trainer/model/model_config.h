// The model's shape and settings: what config.json of a checkpoint says. Field names are Hugging
// Face's; Llama, Qwen2 and Qwen3 are settings of one decoder (trainer/model/decoder.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "kernels/base/dtype.h"

namespace sequela {

// Which Hugging Face architecture the settings stand for. It decides which linear layers have
// biases where attention_bias is set: q, k, v and o in Llama and Qwen3; q, k and v in Qwen2
// (always).
enum class ModelType : std::uint8_t { kLlama, kQwen2, kQwen3 };
std::string_view NameOf(ModelType type);  // "llama", "qwen2", "qwen3"

// What rotary angles are made of: the index within the window, real time, or some pairs of each.
enum class PositionKind : std::uint8_t { kIndex, kTime, kBoth };
std::string_view NameOf(PositionKind kind);             // "index", "time", "both"
PositionKind ParsePositionKind(std::string_view name);  // throws InputError listing the three names

struct ModelConfig {
  ModelType model_type = ModelType::kLlama;
  std::int32_t vocab_size = 0;
  std::int32_t hidden_size = 256;
  std::int32_t intermediate_size = 704;
  std::int32_t num_hidden_layers = 4;
  std::int32_t num_attention_heads = 4;
  std::int32_t num_key_value_heads = 4;
  std::int32_t head_dim = 64;
  std::int32_t max_position_embeddings = 2048;  // written for readers; nothing here depends on it
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  PositionKind position = PositionKind::kIndex;
  double rope_time_fraction = 0.5;  // position both: share of a head's pairs that turn with time
  double rope_time_min_period_seconds = 60.0;
  double rope_time_max_period_years = 200.0;
  double dropout = 0.0;  // of the embedding and of each branch before it joins the residual
  double attention_dropout = 0.0;  // of attention probabilities
  bool qk_norm = false;            // RMSNorm of each query and key head before the rotation
  bool attention_bias = false;
  bool mlp_bias = false;  // Llama only: biases of gate, up and down
  bool tie_word_embeddings = false;
  double initializer_range =
      0.02;  // standard deviation of new weights (trainer/model/initializer.h)
  // Written for readers, who begin a sequence with the one and end it at the other; -1: null.
  std::int32_t bos_token_id = -1;
  std::int32_t eos_token_id = -1;

  std::int32_t q_size() const { return num_attention_heads * head_dim; }
  std::int32_t kv_size() const { return num_key_value_heads * head_dim; }
  std::int32_t qkv_size() const { return q_size() + 2 * kv_size(); }
  bool output_bias() const { return attention_bias && model_type != ModelType::kQwen2; }
  // How many of the head_dim / 2 rotary pairs turn with time: the last ones of a head.
  std::int32_t num_time_pairs() const;

  bool operator==(const ModelConfig&) const = default;
};

// The type that these two settings ask for: qwen3 with qk_norm, else qwen2 with attention_bias,
// else llama.
ModelType ModelTypeFor(bool qk_norm, bool attention_bias);

// Throws InputError "model.<key>: found, expected, how to mend it" for the first setting that no
// model can have (sizes, divisibility, ranges, settings that the model type excludes). Sizes that
// pass leave room for every product of them in 63 bits.
void ValidateModelConfig(const ModelConfig& config);

// config.json. With index positions it is the Hugging Face architecture's own file; with time
// positions model_type is "sequela_<type>", whose classes ModelingSource() holds: `transformers`
// opens it with trust_remote_code and refuses it without, instead of misreading it. `weights`: the
// element type of model.safetensors beside it.
std::string ModelConfigToJson(const ModelConfig& config, DType weights);

// Files beside model.safetensors for readers, by name: config.json; with time positions also
// modeling_sequela.py (trainer/model/modeling_sequela.py).
std::map<std::string, std::string> ModelTextFiles(const ModelConfig& config, DType weights);

// Reads our own config.json or Hugging Face's (rope_theta at the top level or in rope_parameters; a
// missing key has the default of the configuration class in `transformers`, but sizes, and a Qwen's
// rope_theta, have to be there).
// Throws InputError naming file and key for what is missing, wrong, or asks for something that this
// decoder does not compute: another architecture or activation, rope scaling, sliding windows in
// use.
ModelConfig ModelConfigFromJson(std::string_view json, const std::filesystem::path& file);

// The number of elements of all parameters, tied ones once.
std::int64_t CountParameters(const ModelConfig& config);
// Weights that take part in a matrix product, the output projection included (once): the N of the
// 6 N FLOPs that a token costs in training.
std::int64_t CountMatmulParameters(const ModelConfig& config);

}  // namespace sequela
