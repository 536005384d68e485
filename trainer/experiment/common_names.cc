#include "trainer/experiment/common_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cctype>
#include <sstream>
#include <vector>

#include "trainer/experiment/experiment_fields.h"

namespace sequela {
namespace {

// Names of Hugging Face, nanoGPT, Megatron-LM, Lightning, fairseq, DeepSpeed, x-transformers and
// others. Units may differ (sequences there, tokens here): the field's own name says its unit.
constexpr CommonNames kCommonNames[] = {
    {"data", "dataset datasets data_config"},
    {"data.store",
     "data_dir data_path dataset_path dataset_dir store_path store_dir train_data "
     "train_file train_path dataset_name data_prefix"},
    {"data.context_length",
     "n_ctx n_positions block_size seq_len seq_length sequence_length max_seq_len "
     "max_seq_length max_sequence_length max_length max_position_embeddings "
     "context_size context_window context_len ctx_len ctx_size model_max_length "
     "window_size window_length max_tokens_per_sample"},
    {"data.context_overlap", "overlap stride window_overlap doc_stride"},
    {"data.global_batch_tokens",
     "batch_size global_batch_size train_batch_size total_batch_size batch_tokens "
     "tokens_per_batch tokens_per_step total_batch_tokens max_tokens_per_batch"},
    {"data.shuffle", "shuffle_data shuffle_train"},
    {"model.num_hidden_layers",
     "n_layer n_layers num_layer num_layers num_hidden_layer hidden_layers layers "
     "depth num_blocks n_blocks num_decoder_layers decoder_layers transformer_layers"},
    {"model.hidden_size",
     "n_embd n_embed d_model hidden_dim embed_dim embedding_dim embedding_size "
     "emb_dim emb_size model_dim model_size dim width d_hidden"},
    {"model.intermediate_size",
     "d_ff ff_dim ffn_dim ffn_size ffn_hidden_size ffn_hidden_dim n_inner d_inner "
     "mlp_dim mlp_size mlp_hidden_size intermediate_dim feed_forward_dim "
     "feed_forward_size dim_feedforward decoder_ffn_dim"},
    {"model.num_attention_heads",
     "n_head n_heads num_head num_heads heads attention_heads num_attention_head "
     "num_query_heads decoder_attention_heads"},
    {"model.num_key_value_heads",
     "n_kv_head n_kv_heads n_head_kv num_kv_head num_kv_heads kv_heads "
     "num_key_value_head num_query_groups n_query_groups key_value_heads"},
    {"model.head_dim", "d_head d_kv dim_head head_size kv_channels attention_head_dim"},
    {"model.rope_theta", "theta rope_base rotary_base rotary_emb_base rope_freq_base rotary_theta"},
    {"model.position",
     "position_embedding position_embeddings position_embedding_type "
     "position_encoding positional_encoding pos_embedding pos_emb position_type"},
    {"model.qk_norm", "use_qk_norm qk_layernorm"},
    {"model.attention_bias",
     "bias attn_bias qkv_bias add_qkv_bias attention_qkv_bias use_attention_bias"},
    {"model.tie_word_embeddings",
     "tie_weights tie_embeddings tied_embeddings tie_embed weight_tying "
     "share_embeddings tie_embedding tie_word_embedding"},
    {"model.rms_norm_eps",
     "norm_eps norm_epsilon rms_eps rms_norm_epsilon layer_norm_eps "
     "layer_norm_epsilon ln_eps"},
    {"model.initializer_range",
     "init_std initializer_std init_method_std weight_init_std init_range"},
    {"model.dropout",
     "dropout_rate dropout_prob dropout_p hidden_dropout hidden_dropout_prob "
     "resid_pdrop residual_dropout embd_pdrop embedding_dropout resid_dropout"},
    {"model.attention_dropout",
     "attn_dropout attn_pdrop attention_dropout_prob attention_dropout_rate "
     "attention_probs_dropout_prob"},
    {"optimizer", "optim optimiser optimizer_config optimization"},
    {"optimizer.learning_rate",
     "lr max_lr peak_lr base_lr init_lr initial_lr max_learning_rate "
     "peak_learning_rate base_learning_rate"},
    {"optimizer.beta1", "b1 adam_beta1 betas adam_betas"},
    {"optimizer.beta2", "b2 adam_beta2"},
    {"optimizer.epsilon", "eps adam_eps adam_epsilon"},
    {"optimizer.weight_decay",
     "wd decay_rate weight_decay_rate l2 adam_weight_decay adamw_weight_decay"},
    {"optimizer.clip_gradient_norm",
     "grad_clip clip_grad clip_grad_norm clip_norm max_norm max_grad_norm "
     "max_gradient_norm gradient_clip gradient_clipping gradient_clip_val "
     "gradient_clip_norm grad_norm_clip grad_clip_norm clip_gradients"},
    {"schedule",
     "scheduler lr_scheduler lr_schedule learning_rate_schedule train training "
     "trainer"},
    {"schedule.steps",
     "max_steps total_steps train_steps training_steps num_steps n_steps "
     "num_train_steps num_training_steps max_train_steps max_iters max_iterations "
     "train_iters num_iters num_iterations iterations iters"},
    {"schedule.epochs", "epoch num_epochs n_epochs max_epochs train_epochs num_train_epochs"},
    {"schedule.warmup_steps",
     "warmup warmup_iters num_warmup_steps lr_warmup_steps lr_warmup_iters "
     "warmup_ratio warmup_fraction warmup_epochs"},
    {"schedule.decay",
     "lr_scheduler_type scheduler_type schedule_type lr_decay lr_decay_style "
     "decay_type decay_style"},
    {"schedule.final_learning_rate_fraction",
     "min_lr min_lr_ratio min_lr_fraction min_learning_rate final_lr "
     "final_lr_fraction end_lr lr_end lr_min eta_min alpha_f"},
    {"schedule.cooldown_steps",
     "cooldown cooldown_iters decay_steps lr_decay_steps lr_decay_iters "
     "wsd_decay_steps num_decay_steps"},
    {"parallel", "distributed parallelism hardware"},
    {"parallel.device", "accelerator devices use_cuda gpu use_gpu cuda"},
    {"parallel.precision",
     "dtype torch_dtype compute_dtype param_dtype mixed_precision bf16 fp16 fp32 amp"},
    {"parallel.threads", "num_threads n_threads cpu_threads omp_num_threads num_workers"},
    {"parallel.zero_stage", "zero zero_level zero_optimization fsdp sharding"},
    {"parallel.microbatch_tokens",
     "micro_batch_size micro_batch_tokens device_batch_size per_device_batch_size "
     "per_device_train_batch_size per_gpu_batch_size gradient_accumulation_steps "
     "grad_accum_steps accumulate_grad_batches gradient_accumulation"},
    {"parallel.recompute",
     "gradient_checkpointing grad_checkpointing activation_checkpointing "
     "activation_recompute recompute_granularity use_checkpoint"},
    {"checkpoint", "checkpoints checkpointing ckpt"},
    {"checkpoint.every_steps",
     "save_steps save_every save_every_steps save_interval save_freq "
     "checkpoint_every checkpoint_steps checkpoint_interval ckpt_every ckpt_interval"},
    {"checkpoint.keep_last",
     "save_total_limit max_to_keep keep_checkpoints keep_last_n num_checkpoints "
     "max_checkpoints save_top_k"},
    {"evaluation", "eval validation evaluate"},
    {"evaluation.every_steps",
     "eval_steps eval_every eval_interval eval_freq eval_every_steps val_every "
     "val_interval val_freq val_check_interval validation_interval"},
    {"evaluation.max_windows",
     "eval_iters eval_batches eval_samples max_eval_samples val_batches "
     "limit_val_batches limit_eval_batches"},
    {"evaluation.patience", "early_stopping early_stop early_stopping_patience"},
    {"logging", "logger log logs"},
    {"logging.every_steps",
     "log_every log_steps log_interval log_freq log_every_steps log_every_n_steps "
     "logging_steps logging_interval"},
    {"logging.tensorboard", "tb use_tensorboard log_tensorboard enable_tensorboard report_to"},
    {"run.folder",
     "output_dir out_dir output_folder output_path output run_dir run_folder "
     "save_dir save_path log_dir exp_dir experiment_dir default_root_dir "
     "checkpoint_dir checkpoint_path work_dir"},
    {"run.time_limit_minutes", "max_time time_limit max_duration walltime time_limit_hours"},
    {"seed", "random_seed rng_seed manual_seed global_seed"},
};

// Without case and the signs that part words.
std::string PlainName(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c == '_' || c == '-') continue;
    plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return plain;
}

// "Keys of model: ..." for a path in a section that exists, else "Sections: ...".
std::string KnownKeys(std::string_view path) {
  const std::size_t dot = path.find('.');
  const std::string_view section = path.substr(0, dot);
  const bool inside = dot != std::string_view::npos && IsSection(section);
  std::vector<std::string_view> known;
  for (const ExperimentField& field : ExperimentFields()) {
    const std::size_t end = field.path.find('.');
    const std::string_view first = field.path.substr(0, end);
    if (!inside && (known.empty() || known.back() != first)) known.push_back(first);
    if (inside && first == section) known.push_back(field.path.substr(end + 1));
  }
  return inside ? fmt::format("Keys of {}: {}", section, fmt::join(known, ", "))
                : fmt::format("At the top level are: {}", fmt::join(known, ", "));
}

}  // namespace

std::span<const CommonNames> AllCommonNames() { return kCommonNames; }

std::string_view FieldOfCommonName(std::string_view path) {
  const std::string name = PlainName(path.substr(path.rfind('.') + 1));
  for (const CommonNames& common : kCommonNames) {
    std::istringstream names{std::string(common.names)};
    for (std::string known; names >> known;) {
      if (PlainName(known) == name) return common.field;
    }
  }
  return "";
}

std::string UnknownKeyAdvice(std::string_view path) {
  const std::string_view common = FieldOfCommonName(path);
  const std::string advice = common.empty()
                                 ? fmt::format("the nearest known key is {}", NearestField(path))
                                 : fmt::format("here it is called {}", common);
  return fmt::format("unknown key; {}. {}", advice, KnownKeys(path));
}

}  // namespace sequela
