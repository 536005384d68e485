// Attention and cross-entropy, and the dense products and copies they are held against.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "benchmarks/kernels_cuda/bench.h"
#include "benchmarks/square_product.h"
#include "kernels/attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/gemm.h"

namespace sequela::benchmarks {
namespace {

const DType kHalf = DType::kBFloat16;

struct AttentionSetup {
  std::vector<int> lengths;
  std::int64_t channels = 0;
  std::int64_t head_size = 0;
  bool backward = false;
};

std::shared_ptr<AttentionPlan> PlanOf(const std::vector<int>& lengths) {
  std::vector<std::int32_t> document_begin = {0};
  for (const int length : lengths) document_begin.push_back(document_begin.back() + length);
  return std::make_shared<AttentionPlan>(AttentionPlan::Causal(document_begin));
}

struct AttentionMemory {
  Matrix q, k, v, out, lse, d_out, dq, dk, dv;
};

// Only what the direction reads or writes.
AttentionMemory MakeAttentionMemory(Bench& bench, const AttentionSetup& setup,
                                    std::int64_t tokens) {
  const auto values = [&] { return bench.Values(kHalf, tokens, setup.channels); };
  const auto room = [&] { return bench.Zeros(kHalf, tokens, setup.channels); };
  AttentionMemory memory{
      .q = values(),
      .k = values(),
      .v = values(),
      .out = room(),
      .lse = bench.Zeros(DType::kFloat32, tokens, setup.channels / setup.head_size),
      .d_out = {},
      .dq = {},
      .dk = {},
      .dv = {}};
  if (!setup.backward) return memory;
  memory.d_out = values();
  memory.dq = room();
  memory.dk = room();
  memory.dv = room();
  return memory;
}

Prepared PrepareAttention(Bench& bench, const AttentionSetup& setup) {
  const auto plan = PlanOf(setup.lengths);
  const auto image = bench.UploadImage(*plan);
  const std::int64_t heads = setup.channels / setup.head_size;
  const AttentionShape shape = {
      .num_query_heads = heads, .num_key_heads = heads, .head_size = setup.head_size};
  const AttentionMemory m = MakeAttentionMemory(bench, setup, plan->num_tokens());
  const std::int64_t workspace_bytes =
      std::max(AttentionForwardWorkspaceBytes(bench.exec(), shape),
               AttentionBackwardWorkspaceBytes(bench.exec(), shape, plan->num_tokens(),
                                               plan->longest_document()));
  const auto workspace = bench.Allocate(workspace_bytes);
  const Exec exec = bench.exec(*workspace);
  const float scale = 1.0F / std::sqrt(static_cast<float>(setup.head_size));
  const auto forward = [=] {
    AttentionForward(exec, {.q_TNH = m.q.view,
                            .k_TGH = m.k.view,
                            .v_TGH = m.v.view,
                            .out_TNH = m.out.view,
                            .lse_TN = m.lse.view,
                            .plan = plan.get(),
                            .plan_image = image ? image->data() : nullptr,
                            .shape = shape,
                            .softmax_scale = scale,
                            .dropout = {}});
    (void)workspace;  // lives as long as this
  };
  const double pairs = static_cast<double>(plan->num_pairs() * setup.channels);
  if (!setup.backward) return {forward, 4.0 * pairs, 0.0, workspace_bytes};
  forward();  // what backward reads
  const auto backward = [=] {
    AttentionBackward(exec, {.q_TNH = m.q.view,
                             .k_TGH = m.k.view,
                             .v_TGH = m.v.view,
                             .out_TNH = m.out.view,
                             .lse_TN = m.lse.view,
                             .dout_TNH = m.d_out.view,
                             .dq_TNH = m.dq.view,
                             .dk_TGH = m.dk.view,
                             .dv_TGH = m.dv.view,
                             .plan = plan.get(),
                             .plan_image = image ? image->data() : nullptr,
                             .shape = shape,
                             .softmax_scale = scale,
                             .dropout = {}});
    (void)workspace;
  };
  return {backward, 10.0 * pairs, 0.0, workspace_bytes};
}

struct HeadShape {
  std::int64_t tokens, hidden, vocabulary;

  HeadShape On(const Bench& bench) const {
    return bench.tiny() ? HeadShape{64, hidden / 16, vocabulary / 64} : *this;
  }
  double flops() const { return 6.0 * static_cast<double>(tokens * hidden * vocabulary); }
};

Prepared PrepareCrossEntropy(Bench& bench, const HeadShape& full) {
  const HeadShape shape = full.On(bench);
  const Matrix hidden = bench.Values(kHalf, shape.tokens, shape.hidden);
  const Matrix weight = bench.Values(kHalf, shape.vocabulary, shape.hidden, 0.02F);
  const Matrix d_hidden = bench.Zeros(kHalf, shape.tokens, shape.hidden);
  const Matrix d_weight = bench.Zeros(DType::kFloat32, shape.vocabulary, shape.hidden);
  const Matrix nll = bench.Zeros(DType::kFloat32, shape.tokens, 1);
  std::vector<std::int32_t> target(static_cast<std::size_t>(shape.tokens));
  for (std::size_t t = 0; t < target.size(); ++t) {
    target[t] = static_cast<std::int32_t>(static_cast<std::int64_t>(t) * 7919 % shape.vocabulary);
  }
  const auto plan = std::make_shared<CrossEntropyPlan>();
  plan->Build(target, shape.vocabulary);
  const auto image = bench.UploadImage(*plan);
  const auto targets = bench.Upload(target);
  const std::int64_t workspace_bytes =
      CrossEntropyWorkspaceBytes(bench.exec(), shape.vocabulary, shape.hidden, kHalf);
  const auto workspace = bench.Allocate(workspace_bytes);
  const Exec exec = bench.exec(*workspace);
  const auto run = [=] {
    CrossEntropy(exec, {.hidden_TD = hidden.view,
                        .weight_VD = weight.view,
                        .target = targets->As<const std::int32_t>(),
                        .loss_weight = {},
                        .nll = nll.As<float>(),
                        .dhidden_TD = d_hidden.view,
                        .dweight_VD = d_weight.view,
                        .plan = plan.get(),
                        .plan_image = image ? image->data() : nullptr});
    (void)workspace;
  };
  return {run, shape.flops(), 0.0, workspace_bytes};
}

// The products alone, done whole: logits, gradient of the hidden states, gradient of the weights.
Prepared PrepareProducts(Bench& bench, const HeadShape& full) {
  const HeadShape shape = full.On(bench);
  const Matrix hidden = bench.Values(kHalf, shape.tokens, shape.hidden);
  const Matrix weight = bench.Values(kHalf, shape.vocabulary, shape.hidden, 0.02F);
  const Matrix logits = bench.Values(kHalf, shape.tokens, shape.vocabulary);
  const Matrix d_hidden = bench.Zeros(kHalf, shape.tokens, shape.hidden);
  const Matrix d_weight = bench.Zeros(DType::kFloat32, shape.vocabulary, shape.hidden);
  const std::vector<GemmArgs> products = {
      {.a = logits.view, .b = weight.view, .c = d_hidden.view},
      {.a = logits.view,
       .b = hidden.view,
       .c = d_weight.view,
       .transpose_a = true,
       .accumulate = true},
      {.a = hidden.view, .b = weight.view, .c = logits.view, .transpose_b = true}};
  std::int64_t workspace_bytes = 64;
  for (const GemmArgs& args : products) {
    workspace_bytes = std::max(workspace_bytes, GemmWorkspaceBytes(bench.exec(), args));
  }
  const auto workspace = bench.Allocate(workspace_bytes);
  const Exec exec = bench.exec(*workspace);
  const std::vector<Matrix> memory = {hidden, weight, logits, d_hidden, d_weight};
  const auto run = [=] {
    for (const GemmArgs& args : products) Gemm(exec, args);
    (void)memory.size();  // lives as long as this
    (void)workspace;
  };
  return {run, shape.flops(), 0.0, workspace_bytes};
}

Prepared PrepareSquareProduct(Bench& bench, DType dtype, std::int64_t full) {
  const std::int64_t size = bench.Scaled(full, 64);
  const auto product = std::make_shared<SquareProduct>(bench.device(), dtype, size);
  return {[=] { product->Run(); }, product->flops(), 0.0, 0};
}

Prepared PrepareCopy(Bench& bench, std::int64_t full_bytes) {
  const std::int64_t bytes = bench.Scaled(full_bytes, 1 << 16);
  const Matrix from = bench.Values(DType::kFloat32, bytes / 4, 1);
  const auto to = bench.Allocate(bytes);
  Device* const device = &bench.device();
  return {[=] { device->Copy(to->data(), from.memory->data(), bytes); }, 0.0,
          2.0 * static_cast<double>(bytes), 0};
}

}  // namespace

std::vector<Case> AttentionCases(const std::vector<Documents>& mixes, std::int64_t channels) {
  std::vector<Case> cases;
  for (const Documents& mix : mixes) {
    for (const std::int64_t head_size : {64, 128}) {
      for (const bool backward : {false, true}) {
        const AttentionSetup setup{mix.lengths, channels, head_size, backward};
        cases.push_back({fmt::format("attention/{}/head{}/{}", mix.name, head_size,
                                     backward ? "backward" : "forward"),
                         [setup](Bench& bench) { return PrepareAttention(bench, setup); }});
      }
    }
  }
  return cases;
}

std::vector<Case> CrossEntropyCases() {
  std::vector<Case> cases;
  for (const std::int64_t hidden : {768, 2048, 4096}) {
    for (const std::int64_t vocabulary : {8192, 32768, 131072}) {
      const HeadShape shape{8192, hidden, vocabulary};
      const std::string name = fmt::format("{}x{}", hidden, vocabulary);
      const std::string limit = "products/" + name;
      cases.push_back({limit, [shape](Bench& bench) { return PrepareProducts(bench, shape); }});
      cases.push_back({"cross_entropy/" + name,
                       [shape](Bench& bench) { return PrepareCrossEntropy(bench, shape); }, limit});
    }
  }
  return cases;
}

std::vector<Case> RateCases() {
  std::vector<Case> cases;
  for (const std::int64_t size : {4096, 8192}) {
    cases.push_back({fmt::format("rate/product_bf16/{}", size),
                     [size](Bench& bench) { return PrepareSquareProduct(bench, kHalf, size); }});
  }
  cases.push_back({"rate/product_fp32/4096", [](Bench& bench) {
                     return PrepareSquareProduct(bench, DType::kFloat32, 4096);
                   }});
  for (const std::int64_t mebibytes : {256, 1024}) {
    cases.push_back({fmt::format("rate/copy/{}MiB", mebibytes),
                     [mebibytes](Bench& bench) { return PrepareCopy(bench, mebibytes << 20); }});
  }
  return cases;
}

}  // namespace sequela::benchmarks
