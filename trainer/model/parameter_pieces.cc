#include "trainer/model/parameter_pieces.h"

#include <string>

namespace sequela {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";
constexpr const char* kFinalNorm = "model.norm.weight";

std::string Prefix(int layer) { return fmt::format("model.layers.{}.", layer); }

void AddMlp(const ModelConfig& config, const std::string& prefix, ParameterTable& table) {
  const int d = config.hidden_size;
  const int f = config.intermediate_size;
  const std::string mlp = prefix + "mlp.";
  table.AddMatrix(mlp + "down_proj.weight", d, f);
  if (config.mlp_bias) table.AddVector(mlp + "down_proj.bias", d);
  table.AddMatrix(mlp + "gate_proj.weight", f, d);
  table.AddMatrix(mlp + "up_proj.weight", f, d, /*joined=*/true);
  if (config.mlp_bias) {
    table.AddVector(mlp + "gate_proj.bias", f);
    table.AddVector(mlp + "up_proj.bias", f, /*joined=*/true);
  }
  table.AddVector(prefix + "post_attention_layernorm.weight", d);
}

void AddAttention(const ModelConfig& config, const std::string& prefix, ParameterTable& table) {
  const int d = config.hidden_size;
  const std::string attention = prefix + "self_attn.";
  table.AddMatrix(attention + "o_proj.weight", d, config.q_size());
  if (config.output_bias()) table.AddVector(attention + "o_proj.bias", d);
  if (config.qk_norm) {
    table.AddVector(attention + "q_norm.weight", config.head_dim);
    table.AddVector(attention + "k_norm.weight", config.head_dim);
  }
  table.AddMatrix(attention + "q_proj.weight", config.q_size(), d);
  table.AddMatrix(attention + "k_proj.weight", config.kv_size(), d, /*joined=*/true);
  table.AddMatrix(attention + "v_proj.weight", config.kv_size(), d, /*joined=*/true);
  if (config.attention_bias) {
    table.AddVector(attention + "q_proj.bias", config.q_size());
    table.AddVector(attention + "k_proj.bias", config.kv_size(), /*joined=*/true);
    table.AddVector(attention + "v_proj.bias", config.kv_size(), /*joined=*/true);
  }
  table.AddVector(prefix + "input_layernorm.weight", d);
}

LinearPieces FindLinear(const ParameterTable& table, const std::string& first,
                        const std::string& last) {
  return {.first = table.Find(first + ".weight"),
          .last = table.Find(last + ".weight"),
          .first_bias = table.Find(first + ".bias"),
          .last_bias = table.Find(last + ".bias")};
}

BlockPieces FindBlock(const ParameterTable& table, int layer) {
  const std::string prefix = Prefix(layer);
  const std::string attention = prefix + "self_attn.";
  const std::string mlp = prefix + "mlp.";
  return {.qkv = FindLinear(table, attention + "q_proj", attention + "v_proj"),
          .output = FindLinear(table, attention + "o_proj", attention + "o_proj"),
          .gate_up = FindLinear(table, mlp + "gate_proj", mlp + "up_proj"),
          .down = FindLinear(table, mlp + "down_proj", mlp + "down_proj"),
          .input_norm = table.Find(prefix + "input_layernorm.weight"),
          .post_attention_norm = table.Find(prefix + "post_attention_layernorm.weight"),
          .query_norm = table.Find(attention + "q_norm.weight"),
          .key_norm = table.Find(attention + "k_norm.weight")};
}

}  // namespace

ParameterTable BuildParameterTable(const ModelConfig& config) {
  ParameterTable table;
  if (!config.tie_word_embeddings) {
    table.AddMatrix(kHead, config.vocab_size, config.hidden_size);
  }
  table.AddVector(kFinalNorm, config.hidden_size);
  for (int layer = config.num_hidden_layers - 1; layer >= 0; --layer) {
    AddMlp(config, Prefix(layer), table);
    AddAttention(config, Prefix(layer), table);
  }
  table.AddMatrix(kEmbedding, config.vocab_size, config.hidden_size);
  return table;
}

DecoderPieces FindDecoderPieces(const ModelConfig& config, const ParameterTable& table) {
  DecoderPieces pieces;
  pieces.tied = config.tie_word_embeddings;
  pieces.embedding = table.Find(kEmbedding);
  pieces.head.first = pieces.head.last = pieces.tied ? pieces.embedding : table.Find(kHead);
  pieces.final_norm = table.Find(kFinalNorm);
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    pieces.blocks.push_back(FindBlock(table, layer));
  }
  return pieces;
}

}  // namespace sequela
