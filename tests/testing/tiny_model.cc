#include "tests/testing/tiny_model.h"

#include "kernels/base/philox.h"

namespace sequela::testing {

ModelConfig TinyLlama() {
  ModelConfig config;
  config.vocab_size = 37;
  config.hidden_size = 32;
  config.intermediate_size = 40;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 8;
  return config;
}

ModelConfig TinyTiedLlamaWithBiases() {
  ModelConfig config = TinyLlama();
  config.num_key_value_heads = 4;
  config.attention_bias = config.mlp_bias = config.tie_word_embeddings = true;
  return config;
}

ModelConfig TinyQwen2() {
  ModelConfig config = TinyLlama();
  config.model_type = ModelType::kQwen2;
  config.num_key_value_heads = 1;
  config.attention_bias = true;
  return config;
}

ModelConfig TinyQwen3() {
  ModelConfig config = TinyLlama();
  config.model_type = ModelType::kQwen3;
  config.head_dim = 16;
  config.qk_norm = config.tie_word_embeddings = true;
  return config;
}

ModelConfig TinyTimed() {
  ModelConfig config = TinyLlama();
  config.position = PositionKind::kBoth;
  return config;
}

Batch OneDocument(const Batch& batch, std::int64_t document) {
  const std::int32_t begin = batch.document_begin[static_cast<std::size_t>(document)];
  const std::int32_t end = batch.document_begin[static_cast<std::size_t>(document) + 1];
  const auto cut = [&](const auto& all) {
    using Vector = std::remove_cvref_t<decltype(all)>;
    return Vector(all.begin() + begin, all.begin() + end);
  };
  return {.token = cut(batch.token),
          .target = cut(batch.target),
          .weight = cut(batch.weight),
          .position = cut(batch.position),
          .time_us = cut(batch.time_us),
          .document_begin = {0, end - begin},
          .sample = {batch.sample[static_cast<std::size_t>(document)]}};
}

Batch Joined(const std::vector<Batch>& batches) {
  Batch joined;
  joined.document_begin = {0};
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (const Batch& batch : batches) {
    const std::int32_t base = joined.document_begin.back();
    for (std::size_t i = 1; i < batch.document_begin.size(); ++i) {
      joined.document_begin.push_back(base + batch.document_begin[i]);
    }
    append(joined.token, batch.token);
    append(joined.target, batch.target);
    append(joined.weight, batch.weight);
    append(joined.position, batch.position);
    append(joined.time_us, batch.time_us);
    append(joined.sample, batch.sample);
  }
  return joined;
}

namespace {

Batch MakeDocument(const ModelConfig& config, int length, std::uint64_t seed, std::int64_t sample) {
  PhiloxStream stream(seed, HashName("test document"), static_cast<std::uint64_t>(sample));
  Batch batch;
  std::int64_t time_us = static_cast<std::int64_t>(stream.NextUniform() * 1e15);
  for (int i = 0; i < length; ++i) {
    batch.token.push_back(
        static_cast<std::int32_t>(stream.NextWord() % static_cast<unsigned>(config.vocab_size)));
    batch.position.push_back(i);
    batch.time_us.push_back(time_us);
    time_us += static_cast<std::int64_t>(std::exp(stream.NextUniform() * 12.0) * 6e7);
  }
  for (int i = 0; i < length; ++i) {
    const bool has_target = i + 1 < length && stream.NextUniform() < 0.8;
    batch.target.push_back(has_target ? batch.token[static_cast<std::size_t>(i) + 1]
                                      : Batch::kNoTarget);
    batch.weight.push_back(has_target ? static_cast<float>(0.5 + stream.NextUniform()) : 0.0F);
  }
  batch.document_begin = {0, length};
  batch.sample = {sample};
  return batch;
}

}  // namespace

Batch MakeBatch(const ModelConfig& config, const std::vector<int>& lengths, std::uint64_t seed,
                std::int64_t first_sample) {
  std::vector<Batch> documents;
  for (const int length : lengths) {
    documents.push_back(MakeDocument(config, length, seed, first_sample++));
  }
  return Joined(documents);
}

void FillWeights(const ModelConfig& config, FlatBuffers& buffers, std::uint64_t seed) {
  const double matrix_scale = 1.2 / std::sqrt(static_cast<double>(config.hidden_size));
  for (int i = 0; i < buffers.table().num_pieces(); ++i) {
    const ParameterPiece& piece = buffers.table().piece(i);
    PhiloxStream stream(seed, HashName(piece.name), 0);
    std::vector<float> values(static_cast<std::size_t>(piece.size()));
    const bool is_gain = piece.num_dims == 1 && !piece.name.ends_with("bias");
    const double scale = piece.num_dims == 1 ? 0.2 : matrix_scale;
    for (float& value : values) {
      value = static_cast<float>((is_gain ? 1.0 : 0.0) + scale * stream.NextNormal());
    }
    buffers.SetPiece(i, values);
  }
}

std::vector<float> PieceValues(FlatBuffers& buffers, int piece) {
  const bool is_vector = buffers.table().piece(piece).num_dims == 1;
  const TensorView view = is_vector ? buffers.Vector(piece) : buffers.Weight(piece);
  std::vector<float> values(static_cast<std::size_t>(buffers.table().piece(piece).size()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = view.dtype == DType::kBFloat16 ? ToFloat(view.As<bf16>()[i]) : view.As<float>()[i];
  }
  return values;
}

}  // namespace sequela::testing
