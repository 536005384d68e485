#include "trainer/experiment/decoder_settings.h"

#include <algorithm>
#include <cstdlib>

#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"

namespace sequela {

ModelConfig ModelConfigOf(const Experiment& experiment, std::int32_t vocabulary_size) {
  ModelConfig config = experiment.model;
  config.model_type = ModelTypeFor(config.qk_norm, config.attention_bias);
  config.vocab_size = vocabulary_size;
  if (config.head_dim == 0) config.head_dim = config.hidden_size / config.num_attention_heads;
  config.max_position_embeddings = narrow<std::int32_t>(experiment.data.context_length);
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
