// config.json, ours and Hugging Face's.
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "kernels/base/errors.h"
#include "kernels/base/json_text.h"
#include "trainer/model/model_config.h"
#include "trainer/model/modeling_source.h"

namespace sequela {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kTimePrefix = "sequela_";  // of model_type with time positions
constexpr std::string_view kModelingModule = "modeling_sequela";

std::string_view ClassNameOf(ModelType type) {
  switch (type) {
    case ModelType::kLlama:
      return "Llama";
    case ModelType::kQwen2:
      return "Qwen2";
    case ModelType::kQwen3:
      return "Qwen3";
  }
  SEQUELA_CHECK(false);
}

// One config.json with its name, for messages.
class ConfigFile {
 public:
  ConfigFile(std::string_view text, const std::filesystem::path& file) : file_(file) {
    json_ = ParseJsonText(text, file_);
    if (!json_.is_object()) throw InputError("{}: expected a JSON object", file_.string());
  }

  bool Has(const char* key) const { return json_.contains(key) && !json_.at(key).is_null(); }
  const Json& At(const char* key) const { return json_.at(key); }

  template <typename T>
  T Get(const char* key, T fallback) const {
    return Has(key) ? Convert<T>(json_.at(key), key) : fallback;
  }
  template <typename T>
  T Require(const char* key) const {
    if (!Has(key)) throw InputError("{}: {} is missing", file_.string(), key);
    return Convert<T>(json_.at(key), key);
  }
  template <typename T>
  T Convert(const Json& value, const char* key) const {
    bool fits = std::is_same_v<T, bool>          ? value.is_boolean()
                : std::is_same_v<T, std::string> ? value.is_string()
                : std::is_floating_point_v<T>    ? value.is_number()
                                                 : value.is_number_integer();
    if constexpr (std::is_same_v<T, std::int32_t>) fits = fits && FitsInt32(value);
    if (!fits) {
      throw InputError("{}: {} is {}, of the wrong type or out of range", file_.string(), key,
                       Shown(value));
    }
    return value.get<T>();
  }
  [[noreturn]] void Refuse(const char* key, std::string_view why) const {
    throw InputError("{}: {} is {}: {}", file_.string(), key,
                     Has(key) ? Shown(json_.at(key)) : "absent", why);
  }

 private:
  // The value as JSON, or how it begins.
  static std::string Shown(const Json& value) {
    constexpr std::size_t kMostBytes = 100;
    std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
    if (text.size() > kMostBytes) text = text.substr(0, kMostBytes) + "...";
    return text;
  }
  static bool FitsInt32(const Json& value) {
    using Limits = std::numeric_limits<std::int32_t>;
    if (value.is_number_unsigned()) return value.get<std::uint64_t>() <= Limits::max();
    return value.get<std::int64_t>() >= Limits::min() && value.get<std::int64_t>() < 0;
  }

  std::filesystem::path file_;
  Json json_;
};

ModelType ReadType(const ConfigFile& file) {
  auto name = file.Require<std::string>("model_type");
  if (name.starts_with(kTimePrefix)) name = name.substr(kTimePrefix.size());
  for (const auto type : {ModelType::kLlama, ModelType::kQwen2, ModelType::kQwen3}) {
    if (name == NameOf(type)) return type;
  }
  file.Refuse("model_type", "this decoder computes llama, qwen2 and qwen3");
}

// Refuses rotary positions that are computed otherwise here.
void RefuseScaledRope(const ConfigFile& file, const char* key) {
  const Json& rope = file.At(key);
  if (!rope.is_object()) file.Refuse(key, "expected an object");
  for (const auto& [name, value] : rope.items()) {
    if (value.is_object())
      file.Refuse(key, "rotary positions that differ by layer are not computed");
    if ((name == "rope_type" || name == "type") && value != "default") {
      file.Refuse(key, "rope scaling is not computed here");
    }
    if (name == "partial_rotary_factor" && value != 1.0) {
      file.Refuse(key, "only a partial_rotary_factor of 1 is computed here");
    }
  }
}

// rope_theta at the top level (transformers 4) or in rope_parameters (transformers 5); files for
// both hold both.
double ReadRopeTheta(const ConfigFile& file, ModelType type) {
  std::optional<double> theta;
  if (file.Has("rope_theta")) theta = file.Require<double>("rope_theta");
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (!file.Has(key)) continue;
    RefuseScaledRope(file, key);
    if (!file.At(key).contains("rope_theta")) continue;
    const auto inner = file.Convert<double>(file.At(key).at("rope_theta"), key);
    if (theta && *theta != inner)
      file.Refuse(key, "another rope_theta stands elsewhere in the file");
    theta = inner;
  }
  if (theta) return *theta;
  return type == ModelType::kLlama ? 10000.0 : file.Require<double>("rope_theta");
}

// Where the key is missing: the default of the type's configuration class in `transformers`.
std::int32_t ReadHeadDim(const ConfigFile& file, const ModelConfig& config) {
  constexpr std::int32_t kQwen3Default = 128;
  return file.Get("head_dim", config.model_type == ModelType::kQwen3
                                  ? kQwen3Default
                                  : config.hidden_size / config.num_attention_heads);
}

std::int32_t ReadTokenId(const ConfigFile& file, const char* key) {
  // A list of several ends, as some models have, says nothing to this program.
  return file.Has(key) && file.At(key).is_number() ? file.Require<std::int32_t>(key) : -1;
}

void RefuseWhatIsNotComputed(const ConfigFile& file, std::int32_t layers) {
  if (file.Get<std::string>("hidden_act", "silu") != "silu") {
    file.Refuse("hidden_act", "only silu is computed here");
  }
  if (file.Get<double>("partial_rotary_factor", 1.0) != 1.0) {
    file.Refuse("partial_rotary_factor", "only 1 is computed here");
  }
  if (file.Has("quantization_config")) {
    file.Refuse("quantization_config", "quantized weights are not read");
  }
  if (file.Has("layer_types")) {
    if (!file.At("layer_types").is_array()) file.Refuse("layer_types", "expected a list");
    for (const Json& type : file.At("layer_types")) {
      if (type != "full_attention") file.Refuse("layer_types", "only full_attention is computed");
    }
  } else if (file.Get<bool>("use_sliding_window", false) && file.Has("sliding_window") &&
             file.Get<std::int32_t>("max_window_layers", 28) < layers) {
    file.Refuse("sliding_window", "sliding windows are not computed here");
  }
}

void ReadPositions(const ConfigFile& file, ModelConfig& config) {
  config.rope_theta = ReadRopeTheta(file, config.model_type);
  config.position = ParsePositionKind(file.Get<std::string>("position", "index"));
  config.rope_time_fraction = file.Get("rope_time_fraction", config.rope_time_fraction);
  config.rope_time_min_period_seconds =
      file.Get("rope_time_min_period_seconds", config.rope_time_min_period_seconds);
  config.rope_time_max_period_years =
      file.Get("rope_time_max_period_years", config.rope_time_max_period_years);
}

Json OrNull(std::int32_t token_id) { return token_id < 0 ? Json() : Json(token_id); }

// The classes of modeling_sequela.py that `transformers` takes for this type.
Json AutoMap(ModelType type) {
  const std::string prefix = fmt::format("{}.Sequela{}", kModelingModule, ClassNameOf(type));
  return {{"AutoConfig", prefix + "Config"}, {"AutoModelForCausalLM", prefix + "ForCausalLM"}};
}

}  // namespace

std::string ModelConfigToJson(const ModelConfig& config, DType weights) {
  const bool is_plain = config.position == PositionKind::kIndex;
  const std::string type(NameOf(config.model_type));
  const char* dtype = weights == DType::kBFloat16 ? "bfloat16" : "float32";
  Json json = {
      {"architectures",
       {fmt::format("{}{}ForCausalLM", is_plain ? "" : "Sequela", ClassNameOf(config.model_type))}},
      {"model_type", is_plain ? type : std::string(kTimePrefix) + type},
      {"attention_dropout", config.attention_dropout},
      {"bos_token_id", OrNull(config.bos_token_id)},
      {"dtype", dtype},
      {"eos_token_id", OrNull(config.eos_token_id)},
      {"head_dim", config.head_dim},
      {"hidden_act", "silu"},
      {"hidden_size", config.hidden_size},
      {"initializer_range", config.initializer_range},
      {"intermediate_size", config.intermediate_size},
      {"max_position_embeddings", config.max_position_embeddings},
      {"num_attention_heads", config.num_attention_heads},
      {"num_hidden_layers", config.num_hidden_layers},
      {"num_key_value_heads", config.num_key_value_heads},
      {"pad_token_id", nullptr},
      {"rms_norm_eps", config.rms_norm_eps},
      {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", config.rope_theta}}},
      {"rope_theta", config.rope_theta},
      {"tie_word_embeddings", config.tie_word_embeddings},
      {"torch_dtype", dtype},
      {"use_cache", true},
      {"vocab_size", config.vocab_size},
      {"dropout", config.dropout},
  };
  if (config.model_type == ModelType::kLlama) json["mlp_bias"] = config.mlp_bias;
  if (config.model_type != ModelType::kQwen2) json["attention_bias"] = config.attention_bias;
  if (config.model_type != ModelType::kLlama) json["use_sliding_window"] = false;
  if (!is_plain) {
    json["auto_map"] = AutoMap(config.model_type);
    json["position"] = NameOf(config.position);
    json["rope_time_fraction"] = config.rope_time_fraction;
    json["rope_time_min_period_seconds"] = config.rope_time_min_period_seconds;
    json["rope_time_max_period_years"] = config.rope_time_max_period_years;
  }
  return json.dump(2) + "\n";
}

std::map<std::string, std::string> ModelTextFiles(const ModelConfig& config, DType weights) {
  std::map<std::string, std::string> files = {{"config.json", ModelConfigToJson(config, weights)}};
  if (config.position != PositionKind::kIndex) {
    files.emplace(fmt::format("{}.py", kModelingModule), kModelingSource);
  }
  return files;
}

ModelConfig ModelConfigFromJson(std::string_view json, const std::filesystem::path& path) {
  const ConfigFile file(json, path);
  ModelConfig config;
  config.model_type = ReadType(file);
  config.vocab_size = file.Require<std::int32_t>("vocab_size");
  config.hidden_size = file.Require<std::int32_t>("hidden_size");
  config.intermediate_size = file.Require<std::int32_t>("intermediate_size");
  config.num_hidden_layers = file.Require<std::int32_t>("num_hidden_layers");
  config.num_attention_heads = file.Require<std::int32_t>("num_attention_heads");
  config.num_key_value_heads = file.Get("num_key_value_heads", config.num_attention_heads);
  if (config.num_attention_heads <= 0) file.Refuse("num_attention_heads", "expected above 0");
  config.head_dim = ReadHeadDim(file, config);
  config.max_position_embeddings =
      file.Get("max_position_embeddings", config.max_position_embeddings);
  config.rms_norm_eps = file.Get("rms_norm_eps", 1e-6);
  ReadPositions(file, config);
  config.dropout = file.Get("dropout", 0.0);
  config.attention_dropout = file.Get("attention_dropout", 0.0);
  config.qk_norm = config.model_type == ModelType::kQwen3;
  config.attention_bias =
      config.model_type == ModelType::kQwen2 || file.Get("attention_bias", false);
  config.mlp_bias = config.model_type == ModelType::kLlama && file.Get("mlp_bias", false);
  config.tie_word_embeddings = file.Get("tie_word_embeddings", false);
  config.initializer_range = file.Get("initializer_range", config.initializer_range);
  config.bos_token_id = ReadTokenId(file, "bos_token_id");
  config.eos_token_id = ReadTokenId(file, "eos_token_id");
  RefuseWhatIsNotComputed(file, config.num_hidden_layers);
  try {
    ValidateModelConfig(config);
  } catch (const InputError& error) {
    throw InputError("{}: {}", path.string(), error.what());
  }
  return config;
}

}  // namespace sequela
