#include "trainer/experiment/experiment.h"

#include "kernels/base/errors.h"

namespace sequela {
namespace {

void CheckModel(const ModelConfig& model) {
  if (model.num_attention_heads % model.num_key_value_heads != 0) {
    throw InputError(
        "model.num_attention_heads ({}) must be a multiple of model.num_key_value_heads ({})",
        model.num_attention_heads, model.num_key_value_heads);
  }
  if (model.head_dim == 0 && model.hidden_size % model.num_attention_heads != 0) {
    throw InputError(
        "model.hidden_size ({}) is no multiple of model.num_attention_heads ({}): give "
        "model.head_dim",
        model.hidden_size, model.num_attention_heads);
  }
  const std::int32_t head_dim =
      model.head_dim == 0 ? model.hidden_size / model.num_attention_heads : model.head_dim;
  if (head_dim % 2 != 0) {
    throw InputError("model.head_dim ({}) must be even: rotary positions turn pairs", head_dim);
  }
  if (model.rope_time_min_period_seconds >= model.rope_time_max_period_years * 365.25 * 86400.0) {
    throw InputError(
        "model.rope_time_min_period_seconds must be shorter than model.rope_time_max_period_years");
  }
}

void CheckSchedule(const ScheduleSection& schedule) {
  if (schedule.cooldown_steps > 0 && schedule.decay != DecayKind::kConstant) {
    throw InputError(
        "schedule.cooldown_steps is for schedule.decay: constant; cosine and linear decay all the "
        "way. Remove it or change the decay");
  }
  if (schedule.steps > 0 && schedule.warmup_steps + schedule.cooldown_steps > schedule.steps) {
    throw InputError(
        "schedule.warmup_steps ({}) and cooldown_steps ({}) are more than schedule.steps ({})",
        schedule.warmup_steps, schedule.cooldown_steps, schedule.steps);
  }
}

}  // namespace

ModelConfig DefaultModel() {
  ModelConfig model;
  model.hidden_size = 128;
  model.intermediate_size = 384;
  model.head_dim = 0;
  model.position = PositionKind::kBoth;
  model.tie_word_embeddings = true;
  return model;
}

void CheckExperiment(const Experiment& experiment) {
  CheckModel(experiment.model);
  CheckSchedule(experiment.schedule);
  const DataSection& data = experiment.data;
  if (data.context_overlap >= data.context_length) {
    throw InputError("data.context_overlap ({}) must be below data.context_length ({})",
                     data.context_overlap, data.context_length);
  }
  if (data.global_batch_tokens < data.context_length) {
    throw InputError(
        "data.global_batch_tokens ({}) is below data.context_length ({}): not one window fits",
        data.global_batch_tokens, data.context_length);
  }
  const std::int64_t microbatch = experiment.parallel.microbatch_tokens;
  if (microbatch != 0 && microbatch < data.context_length) {
    throw InputError(
        "parallel.microbatch_tokens ({}) is below data.context_length ({}): not one window fits",
        microbatch, data.context_length);
  }
  if (experiment.evaluation.patience > 0 && experiment.evaluation.every_steps == 0) {
    throw InputError("evaluation.patience needs evaluation.every_steps");
  }
}

}  // namespace sequela
