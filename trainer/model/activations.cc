#include "trainer/model/activations.h"

#include <algorithm>
#include <array>

#include "kernels/attention.h"
#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/rms_norm.h"
#include "trainer/model/linear.h"

namespace sequela {
namespace {

// Hands out matrices of max_tokens rows.
class Planner {
 public:
  Planner(const ModelConfig& config, const DecoderOptions& options, const Device& device,
          Arena& arena)
      : config_(config), options_(options), on_host_(device.is_host()), arena_(arena) {}

  TensorView Rows(std::int64_t columns) { return Rows(columns, options_.compute_dtype); }
  TensorView FloatRows(std::int64_t columns) { return Rows(columns, DType::kFloat32); }

  // What the chosen level keeps for every block; the rest is `shared`'s.
  BlockActivations Block(const BlockActivations& shared) {
    BlockActivations block = shared;
    if (!options_.with_backward) return block;
    block.entry = Rows(config_.hidden_size);
    if (options_.recompute == Recompute::kFull) return block;
    AllocateWide(block);
    if (options_.recompute == Recompute::kNone) AllocateCheap(block);
    return block;
  }

  BlockActivations SharedBlock() {
    BlockActivations block;
    if (!options_.with_backward) block.entry = Rows(config_.hidden_size);
    if (!options_.with_backward || options_.recompute == Recompute::kFull) AllocateWide(block);
    if (!options_.with_backward || options_.recompute != Recompute::kNone) AllocateCheap(block);
    return block;
  }

  SharedActivations Shared() {
    const std::int64_t d = config_.hidden_size;
    SharedActivations shared;
    if (on_host_) {
      shared.rope_cos = FloatRows(config_.head_dim / 2);
      shared.rope_sin = FloatRows(config_.head_dim / 2);
    }
    shared.branch = Rows(d);
    shared.final_entry = Rows(d);
    shared.final_rstd = FloatRows(1);
    shared.final_normed = Rows(d);
    shared.nll = FloatRows(1);
    if (options_.with_backward) AllocateGradients(shared);
    return shared;
  }

 private:
  TensorView Rows(std::int64_t columns, DType dtype) {
    return arena_.AllocateTensor(dtype, options_.max_tokens, columns);
  }

  // What costs a matrix product or an attention to make again.
  void AllocateWide(BlockActivations& block) {
    const std::int64_t heads = config_.num_attention_heads;
    const std::int64_t key_heads = config_.num_key_value_heads;
    block.entry_rstd = FloatRows(1);
    block.qkv = Rows(config_.qkv_size());
    if (config_.qk_norm) {
      block.qk = Rows(config_.q_size() + config_.kv_size());
      block.query_rstd = FloatRows(heads);
      block.key_rstd = FloatRows(key_heads);
    }
    block.attention = Rows(config_.q_size());
    block.lse = FloatRows(heads);
    block.middle = Rows(config_.hidden_size);
    block.middle_rstd = FloatRows(1);
    block.gate_up = Rows(2 * static_cast<std::int64_t>(config_.intermediate_size));
  }

  // What one pass over memory makes again.
  void AllocateCheap(BlockActivations& block) {
    block.entry_normed = Rows(config_.hidden_size);
    block.middle_normed = Rows(config_.hidden_size);
    block.swiglu = Rows(config_.intermediate_size);
  }

  void AllocateGradients(SharedActivations& shared) {
    shared.d_residual = Rows(config_.hidden_size);
    shared.d_branch = config_.dropout > 0.0 ? Rows(config_.hidden_size) : shared.d_residual;
    shared.d_normed = shared.branch;
    // The two halves of a block's backward never meet: their widest gradients share memory.
    const std::int64_t after_gradients = arena_.Mark();
    shared.d_swiglu = Rows(config_.intermediate_size);
    const std::int64_t mlp_end = arena_.Mark();
    arena_.Release(after_gradients);
    shared.d_attention = Rows(config_.q_size());
    shared.d_qkv = Rows(config_.qkv_size());
    if (arena_.Mark() < mlp_end) arena_.AllocateBytes(mlp_end - arena_.Mark());
  }

  const ModelConfig& config_;
  const DecoderOptions& options_;
  bool on_host_;
  Arena& arena_;
};

std::int64_t LinearsWorkspaceBytes(const ModelConfig& config, const DecoderOptions& options,
                                   const Exec& exec) {
  const std::int64_t d = config.hidden_size;
  const std::int64_t f = config.intermediate_size;
  const auto bytes = [&](std::int64_t in, std::int64_t out) {
    return LinearWorkspaceBytes(exec, options.compute_dtype, options.max_tokens, in, out);
  };
  return std::max(
      {bytes(d, config.qkv_size()), bytes(config.q_size(), d), bytes(d, 2 * f), bytes(f, d)});
}

std::int64_t WorkspaceBytes(const ModelConfig& config, const DecoderOptions& options,
                            const Device& device) {
  const Exec exec = ExecOn(device, options.num_threads);
  const AttentionShape shape{.num_query_heads = config.num_attention_heads,
                             .num_key_heads = config.num_key_value_heads,
                             .head_size = config.head_dim};
  const std::int64_t tokens = options.max_tokens;
  const std::int64_t longest =
      options.max_document_tokens > 0 ? std::min(options.max_document_tokens, tokens) : tokens;
  return std::max(
      {LinearsWorkspaceBytes(config, options, exec), AttentionForwardWorkspaceBytes(exec, shape),
       options.with_backward ? AttentionBackwardWorkspaceBytes(exec, shape, tokens, longest) : 0,
       CrossEntropyWorkspaceBytes(exec, config.vocab_size, config.hidden_size,
                                  options.compute_dtype),
       RmsNormBackwardWorkspaceBytes(tokens, config.hidden_size),
       RmsNormBackwardWorkspaceBytes(tokens, config.head_dim),
       EmbeddingBackwardWorkspaceBytes(tokens, config.hidden_size)});
}

// Every matrix of a block or of the shared part, for what is done to all of them.
using BlockField = TensorView BlockActivations::*;
constexpr std::array<BlockField, 14> kBlockFields = {
    &BlockActivations::entry,    &BlockActivations::entry_rstd,  &BlockActivations::entry_normed,
    &BlockActivations::qkv,      &BlockActivations::qk,          &BlockActivations::query_rstd,
    &BlockActivations::key_rstd, &BlockActivations::attention,   &BlockActivations::lse,
    &BlockActivations::middle,   &BlockActivations::middle_rstd, &BlockActivations::middle_normed,
    &BlockActivations::gate_up,  &BlockActivations::swiglu};
using SharedField = TensorView SharedActivations::*;
constexpr std::array<SharedField, 13> kSharedFields = {
    &SharedActivations::rope_cos,   &SharedActivations::rope_sin,
    &SharedActivations::branch,     &SharedActivations::final_entry,
    &SharedActivations::final_rstd, &SharedActivations::final_normed,
    &SharedActivations::nll,        &SharedActivations::d_residual,
    &SharedActivations::d_branch,   &SharedActivations::d_normed,
    &SharedActivations::d_swiglu,   &SharedActivations::d_attention,
    &SharedActivations::d_qkv};
static_assert(sizeof(BlockActivations) == kBlockFields.size() * sizeof(TensorView));
static_assert(sizeof(SharedActivations) == kSharedFields.size() * sizeof(TensorView));

// A view that was never allocated stays empty.
TensorView FirstRows(const TensorView& view, std::int64_t rows) {
  return view.rows == 0 ? view : view.RowRange(0, rows);
}

}  // namespace

std::string_view NameOf(Recompute level) {
  constexpr std::array<std::string_view, 3> kNames = {"none", "selective", "full"};
  return kNames.at(static_cast<std::size_t>(level));
}

Recompute ParseRecompute(std::string_view name) {
  for (const auto level : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    if (name == NameOf(level)) return level;
  }
  throw InputError("recompute: found '{}', expected none, selective or full", name);
}

Activations AllocateActivations(const ModelConfig& config, const DecoderOptions& options,
                                const Device& device, Arena& arena) {
  Planner planner(config, options, device, arena);
  Activations all;
  const BlockActivations shared_block = planner.SharedBlock();
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    all.blocks.push_back(planner.Block(shared_block));
  }
  all.shared = planner.Shared();
  const std::int64_t workspace_bytes = WorkspaceBytes(config, options, device);
  all.workspace = {arena.AllocateBytes(workspace_bytes), static_cast<std::size_t>(workspace_bytes)};
  return all;
}

void NarrowActivations(const Activations& all, std::int64_t tokens, Activations& out) {
  out.blocks.resize(all.blocks.size());
  for (std::size_t i = 0; i < all.blocks.size(); ++i) {
    for (const BlockField field : kBlockFields) {
      out.blocks[i].*field = FirstRows(all.blocks[i].*field, tokens);
    }
  }
  for (const SharedField field : kSharedFields) {
    out.shared.*field = FirstRows(all.shared.*field, tokens);
  }
  out.workspace = all.workspace;
}

std::int64_t ActivationBytes(const ModelConfig& config, const DecoderOptions& options,
                             const Device& device) {
  Arena arena = Arena::Measuring();
  AllocateActivations(config, options, device, arena);
  return arena.peak_bytes();
}

}  // namespace sequela
