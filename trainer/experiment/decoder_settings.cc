#include "trainer/experiment/decoder_settings.h"

#include <algorithm>
#include <cstdlib>

#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"

namespace sequela {

ModelConfig ModelConfigOf(const Experiment& experiment, std::int32_t vocabulary_size) {
  const ModelSection& model = experiment.model;
  const auto narrow32 = [](std::int64_t value) { return narrow<std::int32_t>(value); };
  ModelConfig config;
  config.model_type = ModelTypeFor(model.qk_norm, model.attention_bias);
  config.vocab_size = vocabulary_size;
  config.hidden_size = narrow32(model.hidden_size);
  config.intermediate_size = narrow32(model.intermediate_size);
  config.num_hidden_layers = narrow32(model.num_hidden_layers);
  config.num_attention_heads = narrow32(model.num_attention_heads);
  config.num_key_value_heads = narrow32(model.num_key_value_heads);
  config.head_dim = narrow32(model.head_dim != 0 ? model.head_dim
                                                 : model.hidden_size / model.num_attention_heads);
  config.max_position_embeddings = narrow32(experiment.data.context_length);
  config.rms_norm_eps = model.rms_norm_eps;
  config.rope_theta = model.rope_theta;
  config.position = model.position;
  config.rope_time_fraction = model.rope_time_fraction;
  config.rope_time_min_period_seconds = model.rope_time_min_period_seconds;
  config.rope_time_max_period_years = model.rope_time_max_period_years;
  config.dropout = model.dropout;
  config.attention_dropout = model.attention_dropout;
  config.qk_norm = model.qk_norm;
  config.attention_bias = model.attention_bias;
  config.tie_word_embeddings = model.tie_word_embeddings;
  config.initializer_range = model.initializer_range;
  ValidateModelConfig(config);
  return config;
}

int ThreadsOf(const Experiment& experiment, const World& world) {
  if (experiment.parallel.threads > 0) return narrow<int>(experiment.parallel.threads);
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    const int threads = std::atoi(text);
    if (threads > 0) return threads;
  }
  return world.available_cpus();
}

std::int64_t MicrobatchTokensOf(const Experiment& experiment, int world_size) {
  constexpr std::int64_t kLargest = 8192;
  if (experiment.parallel.microbatch_tokens > 0) return experiment.parallel.microbatch_tokens;
  const std::int64_t share = CeilDiv(experiment.data.global_batch_tokens, world_size);
  return std::max(std::min(share, kLargest), experiment.data.context_length);
}

DecoderOptions DecoderOptionsOf(const Experiment& experiment, const World& world) {
  DecoderOptions options;
  options.compute_dtype = experiment.parallel.precision;
  options.recompute = experiment.parallel.recompute;
  options.num_threads = ThreadsOf(experiment, world);
  options.max_tokens = MicrobatchTokensOf(experiment, world.size());
  options.max_document_tokens = experiment.data.context_length;
  return options;
}

}  // namespace sequela
