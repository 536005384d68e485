#include "trainer/experiment/experiment_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "dataio/base/edit_distance.h"
#include "dataio/base/settings_reader.h"
#include "kernels/base/errors.h"
#include "kernels/base/philox.h"

namespace sequela {
namespace {

constexpr double kMany = 1e15;  // the largest whole number that a field takes
constexpr double kNoMaximum = std::numeric_limits<double>::infinity();
constexpr auto kResult = FieldGroup::kResult;
constexpr auto kSpeed = FieldGroup::kSpeed;

template <typename T>
FieldRef RefTo(T& value) {
  if constexpr (std::is_enum_v<T>) {
    static_assert(sizeof(T) == 1);
    return ChoiceRef{reinterpret_cast<unsigned char*>(&value)};
  } else {
    return &value;
  }
}

#define SEQUELA_FIELD(member) \
  [](Experiment& experiment) -> FieldRef { return RefTo(experiment.member); }

ExperimentField Whole(std::string_view path, FieldRef (*get)(Experiment&), double minimum,
                      FieldGroup group, std::string_view meaning, double maximum = kMany) {
  return {path, group, meaning, get, minimum, maximum, false, false, {}};
}

// `bounds` is written as in mathematics: "[0, 1)" and so on, for the two ends' kinds.
ExperimentField Real(std::string_view path, FieldRef (*get)(Experiment&), std::string_view bounds,
                     double minimum, double maximum, FieldGroup group, std::string_view meaning) {
  return {path, group, meaning, get, minimum, maximum, bounds[0] == '(', bounds[1] == ')', {}};
}

ExperimentField Flag(std::string_view path, FieldRef (*get)(Experiment&), FieldGroup group,
                     std::string_view meaning) {
  return {path, group, meaning, get, 0.0, 0.0, false, false, {}};
}

ExperimentField Choice(std::string_view path, FieldRef (*get)(Experiment&),
                       std::vector<std::string_view> choices, FieldGroup group,
                       std::string_view meaning) {
  return {path, group, meaning, get, 0.0, 0.0, false, false, std::move(choices)};
}

std::vector<ExperimentField> MakeFields() {
  return {
      Whole("seed", SEQUELA_FIELD(seed), 0, kResult,
            "Seed of initial weights, order of windows and dropout."),

      {"data.store", FieldGroup::kPlace, "Chain store that `sequela ingest` wrote.",
       SEQUELA_FIELD(data.store)},
      Whole("data.context_length", SEQUELA_FIELD(data.context_length), 8, kResult,
            "Most tokens of a window, head included.", 1 << 24),
      Whole("data.context_overlap", SEQUELA_FIELD(data.context_overlap), 0, kResult,
            "Tokens of the window before that are repeated as context without loss."),
      Whole("data.global_batch_tokens", SEQUELA_FIELD(data.global_batch_tokens), 8, kResult,
            "Token budget of one optimizer step, over all ranks."),
      Flag("data.shuffle", SEQUELA_FIELD(data.shuffle), kResult,
           "Windows in a new random order each epoch, a function of seed and epoch."),

      Whole("model.num_hidden_layers", SEQUELA_FIELD(model.num_hidden_layers), 1, kResult,
            "Decoder blocks.", 1000),
      Whole("model.hidden_size", SEQUELA_FIELD(model.hidden_size), 8, kResult,
            "Width of the residual stream.", 1 << 20),
      Whole("model.intermediate_size", SEQUELA_FIELD(model.intermediate_size), 8, kResult,
            "Width of the SwiGLU's gate.", 1 << 20),
      Whole("model.num_attention_heads", SEQUELA_FIELD(model.num_attention_heads), 1, kResult,
            "Query heads.", 4096),
      Whole("model.num_key_value_heads", SEQUELA_FIELD(model.num_key_value_heads), 1, kResult,
            "Key and value heads; divides num_attention_heads.", 4096),
      Whole("model.head_dim", SEQUELA_FIELD(model.head_dim), 0, kResult,
            "Width of a head; 0: hidden_size / num_attention_heads.", 4096),
      Real("model.rope_theta", SEQUELA_FIELD(model.rope_theta), "(]", 1.0, 1e12, kResult,
           "Base of the rotary positions by index."),
      Choice("model.position", SEQUELA_FIELD(model.position), {"index", "time", "both"}, kResult,
             "Rotary positions from the index in the window, from real time, or some pairs each."),
      Real("model.rope_time_fraction", SEQUELA_FIELD(model.rope_time_fraction), "()", 0.0, 1.0,
           kResult, "Share of a head's pairs turned by real time; position: both only."),
      Real("model.rope_time_min_period_seconds", SEQUELA_FIELD(model.rope_time_min_period_seconds),
           "()", 0.0, kNoMaximum, kResult, "Shortest period of the rotary time."),
      Real("model.rope_time_max_period_years", SEQUELA_FIELD(model.rope_time_max_period_years),
           "()", 0.0, kNoMaximum, kResult, "Longest period of the rotary time."),
      Flag("model.qk_norm", SEQUELA_FIELD(model.qk_norm), kResult,
           "RMSNorm on queries and keys of each head (Qwen3)."),
      Flag("model.attention_bias", SEQUELA_FIELD(model.attention_bias), kResult,
           "Biases on the query, key and value projections (Qwen2)."),
      Flag("model.tie_word_embeddings", SEQUELA_FIELD(model.tie_word_embeddings), kResult,
           "The output projection is the embedding."),
      Real("model.rms_norm_eps", SEQUELA_FIELD(model.rms_norm_eps), "()", 0.0, 1.0, kResult,
           "Added to the mean square in RMSNorm."),
      Real("model.initializer_range", SEQUELA_FIELD(model.initializer_range), "()", 0.0, 10.0,
           kResult, "Standard deviation of the initial weights."),
      Real("model.dropout", SEQUELA_FIELD(model.dropout), "[)", 0.0, 1.0, kResult,
           "Dropout of the embedding and of what each block adds to the residual stream."),
      Real("model.attention_dropout", SEQUELA_FIELD(model.attention_dropout), "[)", 0.0, 1.0,
           kResult, "Dropout of attention probabilities."),

      Real("objective.event_balance_alpha", SEQUELA_FIELD(objective.event_balance_alpha), "[]", 0.0,
           1.0, kResult, "Exponent of event-balanced loss weights; 1: off, 0.5: as in the paper."),

      Real("optimizer.learning_rate", SEQUELA_FIELD(optimizer.learning_rate), "()", 0.0, kNoMaximum,
           kResult, "Peak learning rate of AdamW."),
      Real("optimizer.beta1", SEQUELA_FIELD(optimizer.beta1), "[)", 0.0, 1.0, kResult,
           "Decay of the first moment."),
      Real("optimizer.beta2", SEQUELA_FIELD(optimizer.beta2), "[)", 0.0, 1.0, kResult,
           "Decay of the second moment."),
      Real("optimizer.epsilon", SEQUELA_FIELD(optimizer.epsilon), "()", 0.0, 1.0, kResult,
           "Added to the root of the second moment."),
      Real("optimizer.weight_decay", SEQUELA_FIELD(optimizer.weight_decay), "[)", 0.0, kNoMaximum,
           kResult, "Decoupled weight decay, on tensors of two or more dimensions."),
      Real("optimizer.clip_gradient_norm", SEQUELA_FIELD(optimizer.clip_gradient_norm), "[)", 0.0,
           kNoMaximum, kResult, "Largest global gradient norm; 0: no clipping."),

      Whole("schedule.steps", SEQUELA_FIELD(schedule.steps), 0, kResult,
            "Optimizer steps; 0: as many as schedule.epochs needs."),
      Real("schedule.epochs", SEQUELA_FIELD(schedule.epochs), "()", 0.0, 1e9, kResult,
           "Passes over the train split; read where schedule.steps is 0."),
      Whole("schedule.warmup_steps", SEQUELA_FIELD(schedule.warmup_steps), 0, kResult,
            "Steps of linear warm-up."),
      Choice("schedule.decay", SEQUELA_FIELD(schedule.decay), {"cosine", "linear", "constant"},
             kResult, "Shape of the learning rate after the warm-up."),
      Real("schedule.final_learning_rate_fraction",
           SEQUELA_FIELD(schedule.final_learning_rate_fraction), "[]", 0.0, 1.0, kResult,
           "Learning rate at the last step, as a share of the peak."),
      Whole("schedule.cooldown_steps", SEQUELA_FIELD(schedule.cooldown_steps), 0, kResult,
            "decay: constant only: the last steps decay linearly; 0: none."),

      Choice("parallel.device", SEQUELA_FIELD(parallel.device), {"auto", "cpu", "cuda"}, kSpeed,
             "Where to train; auto: a GPU where there is one."),
      Choice("parallel.precision", SEQUELA_FIELD(parallel.precision), {"fp32", "bf16"}, kResult,
             "Type of weights and activations; master weights and sums are fp32 in both."),
      Whole("parallel.threads", SEQUELA_FIELD(parallel.threads), 0, kSpeed,
            "Threads of each rank; 0: the machine's cores shared by its ranks.", 4096),
      Whole("parallel.zero_stage", SEQUELA_FIELD(parallel.zero_stage), 0, kSpeed,
            "0: every rank holds the optimizer's state; 1: each holds its share; 2: and gradients "
            "are summed over ranks after every microbatch.",
            2),
      Whole("parallel.microbatch_tokens", SEQUELA_FIELD(parallel.microbatch_tokens), 0, kSpeed,
            "Most tokens of one forward and backward of a rank; 0: its share of the batch, at most "
            "8192.",
            1 << 30),
      Choice("parallel.recompute", SEQUELA_FIELD(parallel.recompute), {"none", "selective", "full"},
             kSpeed, "What backward computes again instead of keeping."),
      Whole("parallel.check_replicas_every_steps",
            SEQUELA_FIELD(parallel.check_replicas_every_steps), 0, kSpeed,
            "Steps between checks that all ranks hold the same parameters bit for bit; 0: none."),

      Whole("checkpoint.every_steps", SEQUELA_FIELD(checkpoint.every_steps), 0, kSpeed,
            "Steps between checkpoints; 0: only at the end and at a stop."),
      Whole("checkpoint.keep_last", SEQUELA_FIELD(checkpoint.keep_last), 1, kSpeed,
            "How many of the newest checkpoints are kept."),
      Whole("checkpoint.keep_every", SEQUELA_FIELD(checkpoint.keep_every), 0, kSpeed,
            "Checkpoints at multiples of this step are kept for good; 0: none."),
      Real("checkpoint.deadline_seconds", SEQUELA_FIELD(checkpoint.deadline_seconds), "[)", 0.0,
           kNoMaximum, kSpeed,
           "After so long without progress of a file's writing the run ends with 4; 0: never."),

      Whole("evaluation.every_steps", SEQUELA_FIELD(evaluation.every_steps), 0, kResult,
            "Steps between evaluations on the tuning split; 0: none."),
      Whole("evaluation.max_windows", SEQUELA_FIELD(evaluation.max_windows), 0, kResult,
            "Windows of the tuning split that those evaluations read; 0: all."),
      Whole("evaluation.patience", SEQUELA_FIELD(evaluation.patience), 0, kResult,
            "Evaluations without improvement after which training ends; 0: never."),

      Whole("logging.every_steps", SEQUELA_FIELD(logging.every_steps), 1, kSpeed,
            "Steps between lines of TensorBoard events (metrics.jsonl has every step)."),
      Flag("logging.tensorboard", SEQUELA_FIELD(logging.tensorboard), kSpeed,
           "Write TensorBoard event files beside metrics.jsonl."),

      {"run.folder", kSpeed, "Folder of this run; made where absent, resumed where it holds a run.",
       SEQUELA_FIELD(run.folder)},
      Real("run.time_limit_minutes", SEQUELA_FIELD(run.time_limit_minutes), "[)", 0.0, kNoMaximum,
           kSpeed, "After this time the run writes a checkpoint and exits with 3; 0: no limit."),
  };
}

#undef SEQUELA_FIELD

}  // namespace

const std::vector<ExperimentField>& ExperimentFields() {
  static const std::vector<ExperimentField> fields = MakeFields();
  return fields;
}

const ExperimentField* FindField(std::string_view path) {
  for (const ExperimentField& field : ExperimentFields()) {
    if (field.path == path) return &field;
  }
  return nullptr;
}

bool IsSection(std::string_view path) {
  return std::ranges::any_of(ExperimentFields(), [&](const ExperimentField& field) {
    return field.path.size() > path.size() && field.path.starts_with(path) &&
           field.path[path.size()] == '.';
  });
}

std::string_view NearestField(std::string_view path) {
  // A key in the wrong section is nearer than one that merely looks alike.
  const auto key_of = [](std::string_view p) { return p.substr(p.rfind('.') + 1); };
  std::string_view nearest;
  std::size_t best = std::numeric_limits<std::size_t>::max();
  for (const ExperimentField& field : ExperimentFields()) {
    const std::size_t distance = std::min(EditDistance(path, field.path),
                                          EditDistance(key_of(path), key_of(field.path)) + 1);
    if (distance < best) {
      best = distance;
      nearest = field.path;
    }
  }
  return nearest;
}

std::string ResultHash(const Experiment& experiment, std::string_view store_content_hash) {
  std::string text = fmt::format("data.store={}\n", store_content_hash);
  for (const ExperimentField& field : ExperimentFields()) {
    if (field.group != FieldGroup::kResult) continue;
    text += fmt::format("{}={}\n", field.path, FieldText(field, experiment));
  }
  return fmt::format("{:016x}", HashName(text));
}

void CheckResumable(const Experiment& old_experiment, const Experiment& new_experiment,
                    std::int64_t step) {
  for (const ExperimentField& field : ExperimentFields()) {
    if (field.group != FieldGroup::kResult) continue;
    const std::string old_text = FieldText(field, old_experiment);
    const std::string new_text = FieldText(field, new_experiment);
    if (old_text == new_text) continue;
    const ScheduleSection& schedule = old_experiment.schedule;
    if (field.path == "schedule.steps" && schedule.decay == DecayKind::kConstant &&
        new_experiment.schedule.steps > schedule.steps && schedule.steps > 0 &&
        step <= schedule.steps - schedule.cooldown_steps) {
      continue;
    }
    throw InputError(
        "{}: this run was started with {}: {}, and the experiment now says {}.\n"
        "That field changes results, so the run cannot go on with it{}. Set it back, or choose "
        "another run.folder (train --init-from {} starts a new run from this one's weights).",
        old_experiment.run.folder, field.path, old_text, new_text,
        field.path == "schedule.steps"
            ? " (schedule.steps may be raised with decay: constant, before its cool-down)"
            : "",
        old_experiment.run.folder);
  }
}

}  // namespace sequela
