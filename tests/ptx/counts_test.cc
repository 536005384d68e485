// ctest: labels=ptx
// Instructions, bytes and bank conflicts of every kernel at one shape, against
// tests/ptx/counts.txt: speed that a change loses is seen without a GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/bias.h"
#include "kernels/cross_entropy.h"
#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/global_norm.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"
#include "kernels/time_rope.h"
#include "tests/ptx/interpreter.h"
#include "tests/ptx/table.h"
#include "tests/testing/planned_targets.h"
#include "tests/testing/poison.h"

namespace sequela {
namespace {

using ::testing::IsEmpty;
using testing::PoisonedMatrix;
using testing::PoisonedWorkspace;
using testing::RandomMatrix;
using testing::Shared;
using testing::SharedVector;
using testing::Table;
using testing::TableLine;
using testing::TestExec;

// Read before the first test: this program knows no other backend.
const bool on_ptx = setenv("SEQUELA_TEST_BACKEND", "ptx", 1) == 0;

const std::string kTable = SEQUELA_SOURCE_DIR "/tests/ptx/counts.txt";
constexpr std::size_t kColumns = 3;  // instructions, bytes, bank conflicts
constexpr double kShare = 1.05;      // of its figure that a kernel may reach

// The shape of all operations: a small layer's, with documents around a tile's edge.
constexpr std::int64_t kTokens = 194;
constexpr std::int64_t kWidth = 256;
constexpr std::int32_t kVocabulary = 300;
constexpr AttentionShape kHeads = {.num_query_heads = 4, .num_key_heads = 2, .head_size = 64};
const std::vector<std::int32_t> kDocuments = {0, 1, 1, 66, 194};

PoisonedMatrix Random(DType type, std::int64_t rows, std::int64_t columns) {
  return {type, RandomMatrix(rows, columns, 1)};
}
PoisonedMatrix Ones(std::int64_t columns) {
  reference::Matrix<double> ones(1, columns);
  ones.values.assign(ones.values.size(), 1.0);
  return {DType::kFloat32, ones};
}

void Elementwise(DType type) {
  PoisonedMatrix a = Random(type, kTokens, kWidth);
  PoisonedMatrix b = Random(type, kTokens, kWidth);
  PoisonedMatrix other(type == DType::kFloat32 ? DType::kBFloat16 : DType::kFloat32, kTokens,
                       kWidth);
  Cast(TestExec(), {.from = a.view(), .to = other.view()});
  Add(TestExec(), {.a = a.view(), .b = b.view(), .out = a.view()});
  Scale(TestExec(), {.x = a.view(), .factor = 0.5F});
  FillZero(TestExec(), {.x = b.view()});
}

void RmsNorm(DType type) {
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
}

void Swiglu(DType type) {
  PoisonedMatrix gate_up = Random(type, kTokens, 2 * kWidth);
  PoisonedMatrix out(type, kTokens, kWidth);
  SwigluForward(TestExec(), {.gate_up_T2F = gate_up.view(), .out_TF = out.view()});
  PoisonedMatrix d_gate_up(type, kTokens, 2 * kWidth);
  SwigluBackward(
      TestExec(),
      {.gate_up_T2F = gate_up.view(), .d_out_TF = out.view(), .d_gate_up_T2F = d_gate_up.view()});
}

void Bias(DType type) {
  PoisonedMatrix x = Random(type, kTokens, kWidth);
  PoisonedMatrix bias = Ones(kWidth);
  BiasForward(TestExec(), {.x_TD = x.view(), .bias = bias.floats()});
  PoisonedWorkspace workspace(BiasBackwardWorkspaceBytes(kTokens, kWidth));
  BiasBackward(TestExec(1, workspace.span()), {.d_x_TD = x.view(), .d_bias = bias.floats()});
}

std::vector<std::int32_t> Tokens() {  // the small ones often, as a vocabulary's
  std::vector<std::int32_t> tokens;
  PhiloxStream random(1, HashName("tokens"), 0);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    const double u = random.NextUniform();
    tokens.push_back(static_cast<std::int32_t>(u * u * u * kVocabulary));
  }
  return tokens;
}

void Embedding(DType type) {
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
                                                    .d_out_TD = out.view(),
                                                    .d_table_VD = d_table.view(),
                                                    .plan_image = image.data()});
}

SharedVector<std::int32_t> Positions() {
  SharedVector<std::int32_t> position;
  for (std::size_t d = 0; d + 1 < kDocuments.size(); ++d) {
    for (std::int32_t i = 0; i < kDocuments[d + 1] - kDocuments[d]; ++i) position.push_back(i);
  }
  return position;
}

void Dropout(DType type) {
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
}

void TimeRope(DType type) {
  PoisonedMatrix x = Random(type, kTokens, kWidth);
  PoisonedMatrix angles = Random(DType::kFloat32, kTokens, kHeads.head_size / 2);
  TimeRopeForward(TestExec(),
                  {.x_TNH = x.view(), .cos_TP = angles.view(), .sin_TP = angles.view()});
  TimeRopeBackward(TestExec(),
                   {.x_TNH = x.view(), .cos_TP = angles.view(), .sin_TP = angles.view()});
}

void Optimizer(DType) {
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
}

void Attention(DType type) {
  const AttentionPlan plan = AttentionPlan::Causal(kDocuments);
  SharedVector<std::byte> image(static_cast<std::size_t>(plan.ImageBytes()));
  plan.WriteImage(image);
  const std::int64_t queries = kHeads.num_query_heads * kHeads.head_size;
  const std::int64_t keys = kHeads.num_key_heads * kHeads.head_size;
  PoisonedMatrix q = Random(type, kTokens, queries);
  PoisonedMatrix k = Random(type, kTokens, keys);
  PoisonedMatrix v = Random(type, kTokens, keys);
  PoisonedMatrix out(type, kTokens, queries);
  PoisonedMatrix lse(DType::kFloat32, kTokens, kHeads.num_query_heads);
  PoisonedMatrix dq(type, kTokens, queries);
  PoisonedMatrix dk(type, kTokens, keys);
  PoisonedMatrix dv(type, kTokens, keys);
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
                          .softmax_scale = 0.125F,
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
                           .softmax_scale = 0.125F,
                           .dropout = {}});
}

void CrossEntropyOf(DType type) {
  const testing::PlannedTargets targets(Tokens(), kVocabulary);
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
}

struct Operation {
  const char* name;
  void (*run)(DType type);
};
constexpr Operation kOperations[] = {
    {"elementwise", Elementwise}, {"rms_norm", RmsNorm},
    {"swiglu", Swiglu},           {"bias", Bias},
    {"embedding", Embedding},     {"dropout", Dropout},
    {"time_rope", TimeRope},      {"optimizer", Optimizer},
    {"attention", Attention},     {"cross_entropy", CrossEntropyOf}};

std::map<std::string, TableLine> Count() {
  ptx::SetOptions({.async = ptx::Async::kLatest, .races = false});
  std::map<std::string, TableLine> lines;
  for (const Operation& operation : kOperations) {
    for (const DType type : {DType::kFloat32, DType::kBFloat16}) {
      ptx::TakeCounts();
      operation.run(type);
      for (const auto& [kernel, counts] : ptx::TakeCounts()) {
        lines[fmt::format("{}/{}/{}", operation.name, type == DType::kFloat32 ? "fp32" : "bf16",
                          kernel)] = {
            {counts.instructions, counts.global_bytes_read + counts.global_bytes_written,
             counts.bank_conflicts},
            ""};
      }
    }
  }
  return lines;
}

// What is wrong, in words; empty where nothing grew.
std::vector<std::string> Complaints(const std::map<std::string, TableLine>& present,
                                    const Table& table) {
  const std::array<std::string, kColumns> names = {"instructions", "bytes", "bank conflicts"};
  std::vector<std::string> complaints;
  for (const auto& [name, line] : present) {
    const auto known = table.lines.find(name);
    if (known == table.lines.end()) {
      complaints.push_back("missing, add: " + Print(name, line));
      continue;
    }
    for (std::size_t i = 0; i < kColumns; ++i) {
      const auto figure = static_cast<double>(known->second.figures[i]);
      if (static_cast<double>(line.figures[i]) > kShare * figure) {
        complaints.push_back(fmt::format("{}: {} {}, where {} stand in the table", name,
                                         line.figures[i], names[i], figure));
      }
    }
  }
  for (const auto& [name, line] : table.lines) {
    if (!present.contains(name)) complaints.push_back(name + " was not launched");
  }
  return complaints;
}

TEST(CountsTest, NoKernelCostsMoreThanBefore) {
  const std::map<std::string, TableLine> present = Count();
  const Table table = testing::ReadTable(kTable, kColumns);
  if (testing::Refreshing()) return testing::RefreshTable(kTable, table, present);
  const std::vector<std::string> complaints = Complaints(present, table);
  EXPECT_TRUE(complaints.empty()) << fmt::format("{}", fmt::join(complaints, "\n"));
}

TEST(CountsTest, GrowthIsFound) {
  Table table;
  table.lines = {{"one", {{1000, 100, 0}, ""}}};
  EXPECT_THAT(Complaints({{"one", {{1050, 90, 0}, ""}}}, table), IsEmpty());
  EXPECT_EQ(Complaints({{"one", {{1051, 106, 1}, ""}}}, table).size(), 3U);
  EXPECT_EQ(Complaints({{"two", {{1, 1, 1}, ""}}}, table).size(), 2U);  // missing on either side
}

}  // namespace
}  // namespace sequela
