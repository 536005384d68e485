// Every operation that has kernels, once at a small layer's shape, for tests that look at the
// kernels rather than at the results.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/bias.h"
#include "kernels/cross_entropy.h"
#include "kernels/cuda/launch_interface.h"
#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/global_norm.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"
#include "kernels/time_rope.h"
#include "tests/testing/planned_targets.h"
#include "tests/testing/poison.h"

namespace sequela::ptx {

using testing::PoisonedMatrix;
using testing::PoisonedWorkspace;
using testing::RandomMatrix;
using testing::Shared;
using testing::SharedVector;
using testing::TestExec;

// What an operation wrote of one matrix: its surroundings, then the numbers row after row, then as
// much again.
struct Written {
  DType type;
  std::vector<std::byte> bytes;
  friend bool operator==(const Written&, const Written&) = default;
};
using Results = std::vector<Written>;
template <typename... Matrices>
Results ResultsOf(Matrices&... matrices) {
  testing::Synchronize();
  return {Written{matrices.view().dtype, matrices.bytes()}...};
}

// The shape of all operations: a small layer's, with documents around a tile's edge.
inline constexpr std::int64_t kTokens = 194;
inline constexpr std::int64_t kWidth = 256;
inline constexpr std::int32_t kVocabulary = 300;
inline constexpr AttentionShape kHeads = {
    .num_query_heads = 4, .num_key_heads = 2, .head_size = 64};
inline const std::vector<std::int32_t> kDocuments = {0, 1, 1, 66, 194};

inline PoisonedMatrix Random(DType type, std::int64_t rows, std::int64_t columns) {
  return {type, RandomMatrix(rows, columns, 1)};
}
inline PoisonedMatrix Ones(std::int64_t columns) {
  reference::Matrix<double> ones(1, columns);
  ones.values.assign(ones.values.size(), 1.0);
  return {DType::kFloat32, ones};
}

inline Results Elementwise(DType type) {
  PoisonedMatrix a = Random(type, kTokens, kWidth);
  PoisonedMatrix b = Random(type, kTokens, kWidth);
  PoisonedMatrix other(type == DType::kFloat32 ? DType::kBFloat16 : DType::kFloat32, kTokens,
                       kWidth);
  Cast(TestExec(), {.from = a.view(), .to = other.view()});
  Add(TestExec(), {.a = a.view(), .b = b.view(), .out = a.view()});
  FillZero(TestExec(), {.x = b.view()});
  return ResultsOf(a, b, other);
}

inline Results RmsNorm(DType type) {
  PoisonedMatrix x = Random(type, kTokens, kWidth);
  PoisonedMatrix residual = Random(DType::kFloat32, kTokens, kWidth);
  PoisonedMatrix sum(DType::kFloat32, kTokens, kWidth);
  PoisonedMatrix y(type, kTokens, kWidth);
  PoisonedMatrix rstd(DType::kFloat32, 1, kTokens);
  PoisonedMatrix gain = Ones(kWidth);
  PoisonedMatrix d_gain = Ones(kWidth);
  RmsNormForward(TestExec(), {.x = x.view(),
                              .residual_in = residual.view(),
                              .residual_out = sum.view(),
                              .gain = gain.floats(),
                              .y = y.view(),
                              .rstd = rstd.floats(),
                              .epsilon = 1e-5F});
  PoisonedWorkspace workspace(RmsNormBackwardWorkspaceBytes(kTokens, kWidth));
  RmsNormBackward(TestExec(1, workspace.span()), {.d_y = x.view(),
                                                  .input = sum.view(),
                                                  .d_residual = residual.view(),
                                                  .gain = gain.floats(),
                                                  .rstd = rstd.floats(),
                                                  .d_input = residual.view(),
                                                  .d_gain = d_gain.floats()});
  return ResultsOf(sum, y, rstd, residual, d_gain);
}

inline Results Swiglu(DType type) {
  PoisonedMatrix gate_up = Random(type, kTokens, 2 * kWidth);
  PoisonedMatrix out(type, kTokens, kWidth);
  SwigluForward(TestExec(), {.gate_up_T2F = gate_up.view(), .out_TF = out.view()});
  PoisonedMatrix d_gate_up(type, kTokens, 2 * kWidth);
  SwigluBackward(
      TestExec(),
      {.gate_up_T2F = gate_up.view(), .d_out_TF = out.view(), .d_gate_up_T2F = d_gate_up.view()});
  return ResultsOf(out, d_gate_up);
}

inline Results Bias(DType type) {
  PoisonedMatrix x = Random(type, kTokens, kWidth);
  PoisonedMatrix bias = Ones(kWidth);
  BiasForward(TestExec(), {.x_TD = x.view(), .bias = bias.floats()});
  PoisonedWorkspace workspace(BiasBackwardWorkspaceBytes(kTokens, kWidth));
  BiasBackward(TestExec(1, workspace.span()), {.d_x_TD = x.view(), .d_bias = bias.floats()});
  return ResultsOf(x, bias);
}

inline std::vector<std::int32_t> Tokens() {  // the small ones often, as a vocabulary's
  std::vector<std::int32_t> tokens;
  PhiloxStream random(1, HashName("tokens"), 0);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    const double u = random.NextUniform();
    tokens.push_back(static_cast<std::int32_t>(u * u * u * kVocabulary));
  }
  return tokens;
}

inline Results Embedding(DType type) {
  const SharedVector<std::int32_t> tokens = Shared(Tokens());
  PoisonedMatrix table = Random(type, kVocabulary, kWidth);
  PoisonedMatrix out(type, kTokens, kWidth);
  EmbeddingForward(TestExec(), {.token = tokens, .table_VD = table.view(), .out_TD = out.view()});
  EmbeddingPlan plan;
  plan.Build(Tokens(), kVocabulary);
  SharedVector<std::byte> image(static_cast<std::size_t>(plan.ImageBytes()));
  plan.WriteImage(image);
  PoisonedWorkspace workspace(EmbeddingBackwardWorkspaceBytes(kTokens, kWidth));
  PoisonedMatrix d_table = Random(DType::kFloat32, kVocabulary, kWidth);
  EmbeddingBackward(TestExec(1, workspace.span()), {.plan = &plan,
                                                    .plan_image = image.data(),
                                                    .d_out_TD = out.view(),
                                                    .d_table_VD = d_table.view()});
  return ResultsOf(out, d_table);
}

inline SharedVector<std::int32_t> Positions() {
  SharedVector<std::int32_t> position;
  for (std::size_t d = 0; d + 1 < kDocuments.size(); ++d) {
    for (std::int32_t i = 0; i < kDocuments[d + 1] - kDocuments[d]; ++i) position.push_back(i);
  }
  return position;
}

inline Results Dropout(DType type) {
  PoisonedMatrix x = Random(type, kTokens, kWidth);
  const SharedVector<std::int64_t> sample = {5, 6, 7, 8};
  const SharedVector<std::int32_t> begin = Shared(kDocuments);
  const SharedVector<std::int32_t> position = Positions();
  sequela::Dropout(TestExec(), {.x_TC = x.view(),
                                .out_TC = x.view(),
                                .sample = sample,
                                .document_begin = begin,
                                .position = position,
                                .key = 3,
                                .rate = 0.1});
  return ResultsOf(x);
}

inline Results TimeRope(DType type) {
  PoisonedMatrix x = Random(type, kTokens, kWidth);
  PoisonedMatrix angles = Random(DType::kFloat32, kTokens, kHeads.head_size / 2);
  TimeRopeForward(TestExec(),
                  {.x_TNH = x.view(), .cos_TP = angles.view(), .sin_TP = angles.view()});
  TimeRopeBackward(TestExec(),
                   {.x_TNH = x.view(), .cos_TP = angles.view(), .sin_TP = angles.view()});
  return ResultsOf(x);
}

inline Results Optimizer(DType) {
  constexpr std::int64_t kParameters = 10 * kNormTile + 77;
  PoisonedMatrix master = Ones(kParameters);
  PoisonedMatrix m = Ones(kParameters);
  PoisonedMatrix v = Ones(kParameters);
  PoisonedMatrix gradient = Ones(kParameters);
  SharedVector<bf16> weights(kParameters);
  SharedVector<double> partials(kParameters / kNormTile + 1);
  TileSquareSums(TestExec(), {.x = gradient.floats(), .partials = partials});
  Adamw(TestExec(), {.master = master.floats(),
                     .m = m.floats(),
                     .v = v.floats(),
                     .gradient = gradient.floats(),
                     .weights = weights,
                     .learning_rate = 1e-3,
                     .beta1 = 0.9,
                     .beta2 = 0.95,
                     .epsilon = 1e-8,
                     .weight_decay = 0.1,
                     .gradient_scale = 1,
                     .bias_correction1 = 0.1,
                     .bias_correction2 = 0.05});
  return ResultsOf(master, m, v);
}

inline constexpr std::int64_t kQueryWidth = kHeads.num_query_heads * kHeads.head_size;
inline constexpr std::int64_t kKeyWidth = kHeads.num_key_heads * kHeads.head_size;
inline constexpr float kSoftmaxScale = 0.125F;

// The queries are the gradients of the output too.
inline Results Attention(DType type) {
  const AttentionPlan plan = AttentionPlan::Causal(kDocuments);
  SharedVector<std::byte> image(static_cast<std::size_t>(plan.ImageBytes()));
  plan.WriteImage(image);
  PoisonedMatrix q = Random(type, kTokens, kQueryWidth);
  PoisonedMatrix k = Random(type, kTokens, kKeyWidth);
  PoisonedMatrix v = Random(type, kTokens, kKeyWidth);
  PoisonedMatrix out(type, kTokens, kQueryWidth);
  PoisonedMatrix lse(DType::kFloat32, kTokens, kHeads.num_query_heads);
  PoisonedMatrix dq(type, kTokens, kQueryWidth);
  PoisonedMatrix dk(type, kTokens, kKeyWidth);
  PoisonedMatrix dv(type, kTokens, kKeyWidth);
  Exec exec = TestExec();
  PoisonedWorkspace workspace(
      std::max(AttentionForwardWorkspaceBytes(exec, kHeads),
               AttentionBackwardWorkspaceBytes(exec, kHeads, kTokens, plan.longest_document())));
  exec.workspace = workspace.span();
  AttentionForward(exec, {.q_TNH = q.view(),
                          .k_TGH = k.view(),
                          .v_TGH = v.view(),
                          .out_TNH = out.view(),
                          .lse_TN = lse.view(),
                          .plan = &plan,
                          .plan_image = image.data(),
                          .shape = kHeads,
                          .softmax_scale = kSoftmaxScale,
                          .dropout = {}});
  AttentionBackward(exec, {.q_TNH = q.view(),
                           .k_TGH = k.view(),
                           .v_TGH = v.view(),
                           .out_TNH = out.view(),
                           .lse_TN = lse.view(),
                           .dout_TNH = q.view(),
                           .dq_TNH = dq.view(),
                           .dk_TGH = dk.view(),
                           .dv_TGH = dv.view(),
                           .plan = &plan,
                           .plan_image = image.data(),
                           .shape = kHeads,
                           .softmax_scale = kSoftmaxScale,
                           .dropout = {}});
  return ResultsOf(out, lse, dq, dk, dv);
}

// With the kernels for sm_90a where there are any, or with those of all GPUs.
inline Results RunAs(bool hopper, Results (*run)(DType type), DType type) {
  const cuda::LaunchInterface before = cuda::CurrentLaunchInterface();
  cuda::LaunchInterface replaced = before;
  replaced.hopper = hopper;
  cuda::TEST_SetLaunchInterface(replaced);
  Results results = run(type);
  cuda::TEST_SetLaunchInterface(before);
  return results;
}

// Its kernels for sm_90a know bf16 alone.
inline Results AttentionOnHopper(DType type) {
  if (type != DType::kBFloat16) return {};
  return RunAs(true, Attention, type);
}

inline Results CrossEntropyOf(DType type) {
  std::vector<std::int32_t> target = Tokens();
  for (std::size_t t = 2; t < target.size(); t += 7) target[t] = kNoTarget;
  const testing::PlannedTargets targets(target, kVocabulary);
  PoisonedMatrix hidden = Random(type, kTokens, kWidth);
  PoisonedMatrix weight = Random(type, kVocabulary, kWidth);
  PoisonedMatrix nll(DType::kFloat32, 1, kTokens);
  PoisonedMatrix d_hidden(type, kTokens, kWidth);
  PoisonedMatrix d_weight = Random(DType::kFloat32, kVocabulary, kWidth);
  Exec exec = TestExec();
  PoisonedWorkspace workspace(CrossEntropyWorkspaceBytes(exec, kVocabulary, kWidth, type));
  exec.workspace = workspace.span();
  CrossEntropy(exec, {.hidden_TD = hidden.view(),
                      .weight_VD = weight.view(),
                      .target = targets.target,
                      .loss_weight = {},
                      .nll = nll.floats(),
                      .dhidden_TD = d_hidden.view(),
                      .dweight_VD = d_weight.view(),
                      .plan = &targets.plan,
                      .plan_image = targets.image.data()});
  return ResultsOf(nll, d_hidden, d_weight);
}

struct Operation {
  const char* name;
  Results (*run)(DType type);
};
inline constexpr Operation kOperations[] = {{"elementwise", Elementwise},
                                            {"rms_norm", RmsNorm},
                                            {"swiglu", Swiglu},
                                            {"bias", Bias},
                                            {"embedding", Embedding},
                                            {"dropout", Dropout},
                                            {"time_rope", TimeRope},
                                            {"optimizer", Optimizer},
                                            {"attention", Attention},
                                            {"attention_hopper", AttentionOnHopper},
                                            {"cross_entropy", CrossEntropyOf}};

}  // namespace sequela::ptx
