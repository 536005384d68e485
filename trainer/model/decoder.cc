#include "trainer/model/decoder.h"

#include "kernels/dropout.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "runtime/buffer.h"
#include "trainer/model/batch_input.h"
#include "trainer/model/decoder_block.h"
#include "trainer/model/decoder_pass.h"
#include "trainer/model/linear.h"
#include "trainer/model/loss_head.h"
#include "trainer/model/loss_reader.h"
#include "trainer/model/parameter_pieces.h"

namespace sequela {
namespace {

const std::uint64_t kEmbeddingSite = HashName("embedding");

// Primitives for the largest batch, built before the first step.
void PrepareProducts(const ModelConfig& config, const DecoderOptions& options, const Exec& exec) {
  const std::int64_t d = config.hidden_size;
  const std::int64_t f = config.intermediate_size;
  const auto prepare = [&](std::int64_t in, std::int64_t out) {
    PrepareLinear(exec, options.compute_dtype, options.max_tokens, in, out);
  };
  prepare(d, config.qkv_size());
  prepare(config.q_size(), d);
  prepare(d, 2 * f);
  prepare(f, d);
}

}  // namespace

struct Decoder::Impl {
  Impl(const ModelConfig& config_in, const DecoderOptions& options_in, Device& device_in)
      : config(config_in),
        options(options_in),
        device(device_in),
        table(BuildParameterTable(config)),
        pieces(FindDecoderPieces(config, table)),
        arena(ActivationBytes(config, options, device), device),
        activations(AllocateActivations(config, options, device, arena)),
        input(config, options, device),
        losses(device, options.max_tokens),
        exec(ExecOn(device, options.num_threads)) {
    exec.workspace = activations.workspace;
    if (options.with_backward) PrepareProducts(config, options, exec);
  }

  // Checks the batch and prepares what all layers read of it.
  DecoderPass BeginPass(FlatBuffers& buffers, const Batch& batch, const PassHooks& hooks);
  void Forward(DecoderPass& pass);
  void EmbeddingGradient(DecoderPass& pass);

  ModelConfig config;
  DecoderOptions options;
  Device& device;
  ParameterTable table;
  DecoderPieces pieces;
  Arena arena;
  Activations activations;
  Activations rows;  // of the batch at hand
  BatchInput input;
  LossReader losses;
  Exec exec;
};

DecoderPass Decoder::Impl::BeginPass(FlatBuffers& buffers, const Batch& batch,
                                     const PassHooks& hooks) {
  const std::int64_t tokens = batch.num_tokens();
  SEQUELA_CHECK(tokens <= options.max_tokens, "{} tokens, planned for {}", tokens,
                options.max_tokens);
  SEQUELA_CHECK(buffers.compute_dtype() == options.compute_dtype);
  NarrowActivations(activations, tokens, rows);
  input.Prepare(batch, rows.shared.rope_cos, rows.shared.rope_sin);
  const std::int64_t longest = input.attention_plan().longest_document();
  SEQUELA_CHECK(options.max_document_tokens == 0 || longest <= options.max_document_tokens,
                "a document of {} tokens, planned for {}", longest, options.max_document_tokens);
  return {.exec = exec,
          .config = config,
          .buffers = buffers,
          .device = device,
          .batch = input.view(),
          .attention_plan = input.attention_plan(),
          .head_plan = input.head_plan(),
          .activations = rows,
          .hooks = hooks,
          .recompute = options.recompute,
          .dropout = {}};
}

void Decoder::Impl::Forward(DecoderPass& pass) {
  const TensorView embedded = rows.blocks.front().entry;
  EmbeddingForward(exec, {.token = pass.batch.token,
                          .table_VD = pass.buffers.Weight(pieces.embedding),
                          .out_TD = embedded});
  pass.Done("embedding");
  BranchDropout(pass, kEmbeddingSite, embedded, embedded);
  ConstTensorView residual;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    const auto index = static_cast<std::size_t>(layer);
    BlockForward(pass, pieces.blocks[index], layer, residual);
    residual = rows.blocks[index].middle;
  }
  FinalNormForward(pass, pieces, residual);
}

void Decoder::Impl::EmbeddingGradient(DecoderPass& pass) {
  SharedActivations& shared = pass.shared();
  BranchDropout(pass, kEmbeddingSite, shared.d_residual, shared.d_residual);
  EmbeddingBackward(exec, {.plan = &input.embedding_plan(),
                           .plan_image = pass.batch.embedding_plan,
                           .d_out_TD = shared.d_residual,
                           .d_table_VD = pass.buffers.Gradient(pieces.embedding)});
  pass.Done("embedding");
}

Decoder::Decoder(const ModelConfig& config, const DecoderOptions& options, Device& device)
    : impl_(std::make_unique<Impl>(config, options, device)) {}
Decoder::~Decoder() = default;

const ModelConfig& Decoder::config() const { return impl_->config; }
const DecoderOptions& Decoder::options() const { return impl_->options; }
const ParameterTable& Decoder::table() const { return impl_->table; }
std::int64_t Decoder::arena_bytes() const { return impl_->arena.capacity_bytes(); }

void Decoder::StartForwardBackward(FlatBuffers& buffers, const Batch& batch,
                                   const DropoutKeys& dropout, const PassHooks& hooks) {
  SEQUELA_CHECK(impl_->options.with_backward);
  DecoderPass pass = impl_->BeginPass(buffers, batch, hooks);
  pass.with_dropout = true;
  pass.dropout = dropout;
  if (batch.num_tokens() > 0) {
    impl_->Forward(pass);
    LossForwardBackward(pass, impl_->pieces);
    for (int layer = impl_->config.num_hidden_layers - 1; layer >= 0; --layer) {
      BlockBackward(pass, impl_->pieces.blocks[static_cast<std::size_t>(layer)], layer);
    }
    impl_->EmbeddingGradient(pass);
  }
  pass.CompleteThrough(impl_->table.num_pieces() - 1);
  impl_->losses.Add(batch, pass.shared().nll);
  impl_->input.Release();
}

BatchLoss Decoder::TakeLoss() { return impl_->losses.Take(); }

BatchLoss Decoder::ForwardBackward(FlatBuffers& buffers, const Batch& batch,
                                   const DropoutKeys& dropout, const PassHooks& hooks) {
  StartForwardBackward(buffers, batch, dropout, hooks);
  return TakeLoss();
}

TokenScores Decoder::Evaluate(FlatBuffers& buffers, const Batch& batch,
                              const EvaluateOptions& options, const PassHooks& hooks) {
  if (batch.num_tokens() == 0) return {};
  DecoderPass pass = impl_->BeginPass(buffers, batch, hooks);
  impl_->Forward(pass);
  TokenScores scores = ScoreTargets(pass, impl_->pieces, options);
  impl_->input.Release();
  return scores;
}

void Decoder::Logits(FlatBuffers& buffers, const Batch& batch, std::span<float> logits) {
  const std::int64_t vocabulary = impl_->config.vocab_size;
  SEQUELA_CHECK(static_cast<std::int64_t>(logits.size()) == batch.num_tokens() * vocabulary);
  const PassHooks no_hooks;
  DecoderPass pass = impl_->BeginPass(buffers, batch, no_hooks);
  impl_->Forward(pass);
  Device& device = impl_->device;
  // On the CPU the product is written where the caller wants it.
  Buffer copy(device.is_host() ? 0 : static_cast<std::int64_t>(logits.size_bytes()), device);
  float* const result = device.is_host() ? logits.data() : copy.As<float>().data();
  const GemmArgs product = {.a = pass.shared().final_normed,
                            .b = buffers.Weight(impl_->pieces.head.first),
                            .c = TensorView(result, batch.num_tokens(), vocabulary),
                            .transpose_b = true};
  Buffer workspace(GemmWorkspaceBytes(impl_->exec, product), device);
  Exec exec = impl_->exec;
  exec.workspace = workspace.bytes();
  Gemm(exec, product);
  impl_->input.Release();
  if (device.is_host()) return;
  device.Copy(logits.data(), result, static_cast<std::int64_t>(logits.size_bytes()));
  device.Synchronize();
}

}  // namespace sequela
