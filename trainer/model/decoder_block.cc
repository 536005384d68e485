#include "trainer/model/decoder_block.h"

#include <cmath>

#include "kernels/attention.h"
#include "kernels/dropout.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"
#include "kernels/time_rope.h"
#include "trainer/model/linear.h"

namespace sequela {
namespace {

// Sites of dropout within a block.
std::uint64_t OutputSite(int layer) { return HashName("attention output") + layer; }
std::uint64_t DownSite(int layer) { return HashName("mlp output") + layer; }

AttentionShape ShapeOf(const ModelConfig& config) {
  return {.num_query_heads = config.num_attention_heads,
          .num_key_heads = config.num_key_value_heads,
          .head_size = config.head_dim};
}

float ScaleOf(const ModelConfig& config) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
}

AttentionDropout DropoutOf(const DecoderPass& pass, int layer) {
  if (!pass.with_dropout) return {};
  return {.probability = static_cast<float>(pass.config.attention_dropout),
          .seed = pass.dropout.seed,
          .stream = DropoutKey(0, HashName("attention") + layer, pass.dropout.step)};
}

// Column ranges of [q | k | v] or, with QK-norm, of [q | k] and v of the raw product.
struct QkvViews {
  TensorView q;
  TensorView k;
  TensorView v;
  TensorView qk;
};

QkvViews SplitQkv(const ModelConfig& config, const TensorView& qkv) {
  const std::int64_t q = config.q_size();
  const std::int64_t kv = config.kv_size();
  return {.q = qkv.ColumnRange(0, q),
          .k = qkv.ColumnRange(q, kv),
          .v = qkv.ColumnRange(q + kv, kv),
          .qk = qkv.ColumnRange(0, q + kv)};
}

// What attention reads: q and k as normed and rotated, v as it came.
QkvViews AttentionInputs(const ModelConfig& config, const BlockActivations& block) {
  QkvViews views = SplitQkv(config, block.qkv);
  if (config.qk_norm) {
    views.qk = block.qk;
    views.q = block.qk.ColumnRange(0, config.q_size());
    views.k = block.qk.ColumnRange(config.q_size(), config.kv_size());
  }
  return views;
}

void HeadNorm(DecoderPass& pass, int gain, TensorView heads, TensorView normed, TensorView rstd) {
  RmsNormForward(pass.exec, {.x = heads,
                             .residual_in = {},
                             .residual_out = {},
                             .gain = FloatsOf(pass.buffers.Vector(gain)),
                             .y = normed,
                             .rstd = FloatsOf(rstd),
                             .epsilon = static_cast<float>(pass.config.rms_norm_eps)});
}

void HeadNormBackward(DecoderPass& pass, int gain, TensorView heads, TensorView rstd,
                      TensorView d_heads) {
  RmsNormBackward(pass.exec, {.d_y = d_heads,
                              .input = heads,
                              .d_residual = {},
                              .gain = FloatsOf(pass.buffers.Vector(gain)),
                              .rstd = FloatsOf(rstd),
                              .d_input = d_heads,
                              .d_gain = FloatsOf(pass.buffers.Gradient(gain))});
}

// entry_normed -> shared().branch
void AttentionHalf(DecoderPass& pass, const BlockPieces& pieces, int layer,
                   BlockActivations& block) {
  LinearForward(pass.exec, pass.buffers, pieces.qkv, block.entry_normed, block.qkv);
  pass.Done("qkv product");
  const QkvViews views = AttentionInputs(pass.config, block);
  if (pass.config.qk_norm) {
    const QkvViews raw = SplitQkv(pass.config, block.qkv);
    HeadNorm(pass, pieces.query_norm, raw.q, views.q, block.query_rstd);
    HeadNorm(pass, pieces.key_norm, raw.k, views.k, block.key_rstd);
    pass.Done("qk norm");
  }
  TimeRopeForward(
      pass.exec,
      {.x_TNH = views.qk, .cos_TP = pass.shared().rope_cos, .sin_TP = pass.shared().rope_sin});
  pass.Done("rope");
  AttentionForward(pass.exec, {.q_TNH = views.q,
                               .k_TGH = views.k,
                               .v_TGH = views.v,
                               .out_TNH = block.attention,
                               .lse_TN = block.lse,
                               .plan = &pass.attention_plan,
                               .plan_image = pass.batch.attention_plan,
                               .shape = ShapeOf(pass.config),
                               .softmax_scale = ScaleOf(pass.config),
                               .dropout = DropoutOf(pass, layer)});
  pass.Done("attention forward");
  LinearForward(pass.exec, pass.buffers, pieces.output, block.attention, pass.shared().branch);
  pass.Done("output product");
  BranchDropout(pass, OutputSite(layer), pass.shared().branch, pass.shared().branch);
}

// middle_normed -> swiglu
void GatedHidden(DecoderPass& pass, const BlockPieces& pieces, BlockActivations& block) {
  LinearForward(pass.exec, pass.buffers, pieces.gate_up, block.middle_normed, block.gate_up);
  pass.Done("gate and up product");
  SwigluForward(pass.exec, {.gate_up_T2F = block.gate_up, .out_TF = block.swiglu});
  pass.Done("swiglu");
}

void MiddleNorm(DecoderPass& pass, const BlockPieces& pieces, BlockActivations& block) {
  ResidualNorm(pass, pieces.post_attention_norm, block.entry, pass.shared().branch, block.middle,
               block.middle_rstd, block.middle_normed);
}

// Level full: everything between entry and swiglu, from entry.
void RecomputeBlock(DecoderPass& pass, const BlockPieces& pieces, int layer,
                    BlockActivations& block) {
  ResidualNorm(pass, pieces.input_norm, {}, {}, block.entry, block.entry_rstd, block.entry_normed);
  AttentionHalf(pass, pieces, layer, block);
  MiddleNorm(pass, pieces, block);
  GatedHidden(pass, pieces, block);
}

// Level selective: what one pass makes from what was kept.
void RecomputeSwigluAndMiddleNorm(DecoderPass& pass, const BlockPieces& pieces,
                                  BlockActivations& block) {
  SwigluForward(pass.exec, {.gate_up_T2F = block.gate_up, .out_TF = block.swiglu});
  pass.Done("swiglu");
  ResidualNorm(pass, pieces.post_attention_norm, {}, {}, block.middle, block.middle_rstd,
               block.middle_normed);
}

// The gradient of what was added to the residual stream.
TensorView BranchGradient(DecoderPass& pass, std::uint64_t site) {
  SharedActivations& shared = pass.shared();
  BranchDropout(pass, site, shared.d_residual, shared.d_branch);
  return shared.d_branch;
}

void MlpBackward(DecoderPass& pass, const BlockPieces& pieces, int layer, BlockActivations& block) {
  SharedActivations& shared = pass.shared();
  const TensorView d_branch = BranchGradient(pass, DownSite(layer));
  LinearWeightGradient(pass.exec, pass.buffers, pieces.down, block.swiglu, d_branch);
  pass.Done("down product");
  LinearInputGradient(pass.exec, pass.buffers, pieces.down, d_branch, shared.d_swiglu);
  pass.Done("down product");
  SwigluBackward(
      pass.exec,
      {.gate_up_T2F = block.gate_up, .d_out_TF = shared.d_swiglu, .d_gate_up_T2F = block.gate_up});
  pass.Done("swiglu");
  LinearWeightGradient(pass.exec, pass.buffers, pieces.gate_up, block.middle_normed, block.gate_up);
  pass.Done("gate and up product");
  LinearInputGradient(pass.exec, pass.buffers, pieces.gate_up, block.gate_up, shared.d_normed);
  pass.Done("gate and up product");
  ResidualNormBackward(pass, pieces.post_attention_norm, block.middle, block.middle_rstd,
                       /*add_to_residual=*/true);
  pass.CompleteThrough(pieces.post_attention_norm);
}

void QkvBackward(DecoderPass& pass, const BlockPieces& pieces, BlockActivations& block) {
  SharedActivations& shared = pass.shared();
  const QkvViews d_views = SplitQkv(pass.config, shared.d_qkv);
  TimeRopeBackward(pass.exec,
                   {.x_TNH = d_views.qk, .cos_TP = shared.rope_cos, .sin_TP = shared.rope_sin});
  pass.Done("rope");
  if (pass.config.qk_norm) {
    const QkvViews raw = SplitQkv(pass.config, block.qkv);
    HeadNormBackward(pass, pieces.query_norm, raw.q, block.query_rstd, d_views.q);
    HeadNormBackward(pass, pieces.key_norm, raw.k, block.key_rstd, d_views.k);
    pass.Done("qk norm");
  }
  LinearWeightGradient(pass.exec, pass.buffers, pieces.qkv, block.entry_normed, shared.d_qkv);
  pass.Done("qkv product");
  LinearInputGradient(pass.exec, pass.buffers, pieces.qkv, shared.d_qkv, shared.d_normed);
  pass.Done("qkv product");
}

void AttentionHalfBackward(DecoderPass& pass, const BlockPieces& pieces, int layer,
                           BlockActivations& block) {
  SharedActivations& shared = pass.shared();
  const TensorView d_branch = BranchGradient(pass, OutputSite(layer));
  LinearWeightGradient(pass.exec, pass.buffers, pieces.output, block.attention, d_branch);
  pass.Done("output product");
  LinearInputGradient(pass.exec, pass.buffers, pieces.output, d_branch, shared.d_attention);
  pass.Done("output product");
  const QkvViews views = AttentionInputs(pass.config, block);
  const QkvViews d_views = SplitQkv(pass.config, shared.d_qkv);
  AttentionBackward(pass.exec, {.q_TNH = views.q,
                                .k_TGH = views.k,
                                .v_TGH = views.v,
                                .out_TNH = block.attention,
                                .lse_TN = block.lse,
                                .dout_TNH = shared.d_attention,
                                .dq_TNH = d_views.q,
                                .dk_TGH = d_views.k,
                                .dv_TGH = d_views.v,
                                .plan = &pass.attention_plan,
                                .plan_image = pass.batch.attention_plan,
                                .shape = ShapeOf(pass.config),
                                .softmax_scale = ScaleOf(pass.config),
                                .dropout = DropoutOf(pass, layer)});
  pass.Done("attention backward");
  QkvBackward(pass, pieces, block);
  ResidualNormBackward(pass, pieces.input_norm, block.entry, block.entry_rstd,
                       /*add_to_residual=*/true);
  pass.CompleteThrough(pieces.input_norm);
}

}  // namespace

void ResidualNorm(DecoderPass& pass, int gain, ConstTensorView residual, ConstTensorView branch,
                  TensorView sum, TensorView rstd, TensorView normed) {
  const bool has_residual = residual.data != nullptr;
  RmsNormForward(pass.exec, {.x = has_residual ? branch : ConstTensorView(sum),
                             .residual_in = residual,
                             .residual_out = has_residual ? sum : TensorView(),
                             .gain = FloatsOf(pass.buffers.Vector(gain)),
                             .y = normed,
                             .rstd = FloatsOf(rstd),
                             .epsilon = static_cast<float>(pass.config.rms_norm_eps)});
  pass.Done("norm");
}

void ResidualNormBackward(DecoderPass& pass, int gain, ConstTensorView sum, TensorView rstd,
                          bool add_to_residual) {
  SharedActivations& shared = pass.shared();
  RmsNormBackward(pass.exec, {.d_y = shared.d_normed,
                              .input = sum,
                              .d_residual = add_to_residual ? ConstTensorView(shared.d_residual)
                                                            : ConstTensorView(),
                              .gain = FloatsOf(pass.buffers.Vector(gain)),
                              .rstd = FloatsOf(rstd),
                              .d_input = shared.d_residual,
                              .d_gain = FloatsOf(pass.buffers.Gradient(gain))});
  pass.Done("norm");
}

void BranchDropout(DecoderPass& pass, std::uint64_t site, ConstTensorView x, TensorView out) {
  if (!pass.with_dropout || pass.config.dropout == 0.0) return;
  Dropout(pass.exec, {.x_TC = x,
                      .out_TC = out,
                      .sample = pass.batch.sample,
                      .document_begin = pass.batch.document_begin,
                      .position = pass.batch.position,
                      .key = DropoutKey(pass.dropout.seed, site, pass.dropout.step),
                      .rate = pass.config.dropout});
  pass.Done("dropout");
}

void BlockForward(DecoderPass& pass, const BlockPieces& pieces, int layer,
                  ConstTensorView residual) {
  BlockActivations& block = pass.activations.blocks[static_cast<std::size_t>(layer)];
  ResidualNorm(pass, pieces.input_norm, residual, pass.shared().branch, block.entry,
               block.entry_rstd, block.entry_normed);
  AttentionHalf(pass, pieces, layer, block);
  MiddleNorm(pass, pieces, block);
  GatedHidden(pass, pieces, block);
  LinearForward(pass.exec, pass.buffers, pieces.down, block.swiglu, pass.shared().branch);
  pass.Done("down product");
  BranchDropout(pass, DownSite(layer), pass.shared().branch, pass.shared().branch);
}

void BlockBackward(DecoderPass& pass, const BlockPieces& pieces, int layer) {
  BlockActivations& block = pass.activations.blocks[static_cast<std::size_t>(layer)];
  if (pass.recompute == Recompute::kFull) RecomputeBlock(pass, pieces, layer, block);
  if (pass.recompute == Recompute::kSelective) RecomputeSwigluAndMiddleNorm(pass, pieces, block);
  MlpBackward(pass, pieces, layer, block);
  if (pass.recompute == Recompute::kSelective) {
    ResidualNorm(pass, pieces.input_norm, {}, {}, block.entry, block.entry_rstd,
                 block.entry_normed);
  }
  AttentionHalfBackward(pass, pieces, layer, block);
}

}  // namespace sequela
