// Operations that move bytes: each with the bytes that it must read and write once.
#include <fmt/format.h>

#include <numeric>
#include <set>

#include "benchmarks/kernels_cuda/bench.h"
#include "kernels/adamw.h"
#include "kernels/bias.h"
#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/global_norm.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"
#include "kernels/time_rope.h"

namespace sequela::benchmarks {
namespace {

const DType kHalf = DType::kBFloat16;
const DType kSingle = DType::kFloat32;
// Of a matrix: 128 MiB of bf16, several times any GPU's cache.
constexpr std::int64_t kElements = std::int64_t{64} << 20;
constexpr std::int64_t kTinyElements = std::int64_t{64} << 10;

struct Shape {
  std::int64_t rows, width;
  double elements() const { return static_cast<double>(rows * width); }
};

Prepared RmsNormWithResidual(Bench& bench, const Shape& s) {
  const Matrix x = bench.Values(kHalf, s.rows, s.width);
  const Matrix residual = bench.Values(kHalf, s.rows, s.width);
  const Matrix sum = bench.Zeros(kHalf, s.rows, s.width);
  const Matrix y = bench.Zeros(kHalf, s.rows, s.width);
  const Matrix gain = bench.Values(kSingle, 1, s.width);
  const Matrix rstd = bench.Zeros(kSingle, s.rows, 1);
  const Exec exec = bench.exec();
  return {[=] {
            RmsNormForward(exec, {.x = x.view,
                                  .residual_in = residual.view,
                                  .residual_out = sum.view,
                                  .gain = gain.As<float>(),
                                  .y = y.view,
                                  .rstd = rstd.As<float>(),
                                  .epsilon = 1e-5F});
          },
          0.0, s.elements() * 8.0, 0};
}

Prepared RmsNormGradient(Bench& bench, const Shape& s) {
  const Matrix d_y = bench.Values(kHalf, s.rows, s.width);
  const Matrix input = bench.Values(kHalf, s.rows, s.width);
  const Matrix d_residual = bench.Values(kHalf, s.rows, s.width);
  const Matrix d_input = bench.Zeros(kHalf, s.rows, s.width);
  const Matrix gain = bench.Values(kSingle, 1, s.width);
  const Matrix rstd = bench.Values(kSingle, s.rows, 1);
  const Matrix d_gain = bench.Zeros(kSingle, 1, s.width);
  const auto workspace = bench.Allocate(RmsNormBackwardWorkspaceBytes(s.rows, s.width));
  const Exec exec = bench.exec(*workspace);
  return {[=] {
            RmsNormBackward(exec, {.d_y = d_y.view,
                                   .input = input.view,
                                   .d_residual = d_residual.view,
                                   .gain = gain.As<float>(),
                                   .rstd = rstd.As<float>(),
                                   .d_input = d_input.view,
                                   .d_gain = d_gain.As<float>()});
            (void)workspace;  // lives as long as this
          },
          0.0, s.elements() * 8.0, 0};
}

Prepared Swiglu(Bench& bench, const Shape& s) {
  const Matrix gate_up = bench.Values(kHalf, s.rows, 2 * s.width);
  const Matrix out = bench.Zeros(kHalf, s.rows, s.width);
  const Exec exec = bench.exec();
  return {[=] { SwigluForward(exec, {.gate_up_T2F = gate_up.view, .out_TF = out.view}); }, 0.0,
          s.elements() * 6.0, 0};
}

Prepared SwigluGradient(Bench& bench, const Shape& s) {
  const Matrix gate_up = bench.Values(kHalf, s.rows, 2 * s.width);
  const Matrix d_out = bench.Values(kHalf, s.rows, s.width);
  const Matrix d_gate_up = bench.Zeros(kHalf, s.rows, 2 * s.width);
  const Exec exec = bench.exec();
  return {[=] {
            SwigluBackward(exec, {.gate_up_T2F = gate_up.view,
                                  .d_out_TF = d_out.view,
                                  .d_gate_up_T2F = d_gate_up.view});
          },
          0.0, s.elements() * 10.0, 0};
}

// Heads of 64; the tables are read once.
Prepared Rotary(Bench& bench, const Shape& s) {
  constexpr std::int64_t kPairs = 32;
  const Matrix x = bench.Values(kHalf, s.rows, s.width);
  const Matrix cosine = bench.Values(kSingle, s.rows, kPairs, 0.5F);
  const Matrix sine = bench.Values(kSingle, s.rows, kPairs, 0.5F);
  const Exec exec = bench.exec();
  return {
      [=] { TimeRopeForward(exec, {.x_TNH = x.view, .cos_TP = cosine.view, .sin_TP = sine.view}); },
      0.0, s.elements() * 4.0 + static_cast<double>(s.rows * kPairs) * 8.0, 0};
}

Prepared AdamwStep(Bench& bench, const Shape& s) {
  const Matrix master = bench.Values(kSingle, s.rows, s.width);
  const Matrix m = bench.Zeros(kSingle, s.rows, s.width);
  const Matrix v = bench.Zeros(kSingle, s.rows, s.width);
  const Matrix gradient = bench.Values(kSingle, s.rows, s.width);
  const Matrix weights = bench.Zeros(kHalf, s.rows, s.width);
  const Exec exec = bench.exec();
  return {[=] {
            Adamw(exec, {.master = master.As<float>(),
                         .m = m.As<float>(),
                         .v = v.As<float>(),
                         .gradient = gradient.As<float>(),
                         .weights = weights.As<bf16>(),
                         .learning_rate = 1e-4,
                         .beta1 = 0.9,
                         .beta2 = 0.95,
                         .epsilon = 1e-8,
                         .weight_decay = 0.1,
                         .gradient_scale = 1.0,
                         .bias_correction1 = 0.5,
                         .bias_correction2 = 0.5});
          },
          0.0, s.elements() * 30.0, 0};
}

// Half of the positions hold one of eight tokens, as in records of patients; the others each one of
// its own: a row that comes again when the cache has lost it is read again.
std::vector<std::int32_t> SkewedTokens(std::int64_t count, std::int64_t vocabulary) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const auto i = static_cast<std::int64_t>(t);
    tokens[t] = static_cast<std::int32_t>(i % 2 == 0 ? i / 2 % 8 : i * 7919 % vocabulary);
  }
  return tokens;
}

double DistinctTokens(const std::vector<std::int32_t>& tokens) {
  return static_cast<double>(std::set<std::int32_t>(tokens.begin(), tokens.end()).size());
}

constexpr std::int64_t kVocabulary = 131072;  // more than positions

Prepared EmbeddingRows(Bench& bench, const Shape& s) {
  const std::vector<std::int32_t> tokens = SkewedTokens(s.rows, kVocabulary);
  const auto token = bench.Upload(tokens);
  const Matrix table = bench.Values(kHalf, kVocabulary, bench.Scaled(s.width, 64));
  const Matrix out = bench.Zeros(kHalf, s.rows, table.view.columns);
  const Exec exec = bench.exec();
  return {[=] {
            EmbeddingForward(exec, {.token = token->As<const std::int32_t>(),
                                    .table_VD = table.view,
                                    .out_TD = out.view});
          },
          0.0, s.elements() * 2.0 + DistinctTokens(tokens) * static_cast<double>(s.width) * 2.0, 0};
}

// Adds to the fp32 rows of the tokens that occur.
Prepared EmbeddingGradient(Bench& bench, const Shape& s) {
  const std::vector<std::int32_t> tokens = SkewedTokens(s.rows, kVocabulary);
  const auto plan = std::make_shared<EmbeddingPlan>();
  plan->Build(tokens, kVocabulary);
  const auto image = bench.UploadImage(*plan);
  const std::int64_t width = bench.Scaled(s.width, 64);
  const Matrix d_out = bench.Values(kHalf, s.rows, width);
  const Matrix d_table = bench.Zeros(kSingle, kVocabulary, width);
  const auto workspace = bench.Allocate(EmbeddingBackwardWorkspaceBytes(s.rows, width));
  const Exec exec = bench.exec(*workspace);
  return {[=] {
            EmbeddingBackward(exec, {.plan = plan.get(),
                                     .plan_image = image ? image->data() : nullptr,
                                     .d_out_TD = d_out.view,
                                     .d_table_VD = d_table.view});
            (void)workspace;
          },
          0.0, s.elements() * 2.0 + DistinctTokens(tokens) * static_cast<double>(s.width) * 8.0, 0};
}

Prepared Bias(Bench& bench, const Shape& s) {
  const Matrix x = bench.Values(kHalf, s.rows, s.width);
  const Matrix bias = bench.Values(kSingle, 1, s.width, 1e-3F);
  const Exec exec = bench.exec();
  return {[=] { BiasForward(exec, {.x_TD = x.view, .bias = bias.As<float>()}); }, 0.0,
          s.elements() * 4.0, 0};
}

Prepared BiasGradient(Bench& bench, const Shape& s) {
  const Matrix d_x = bench.Values(kHalf, s.rows, s.width);
  const Matrix d_bias = bench.Zeros(kSingle, 1, s.width);
  const auto workspace = bench.Allocate(BiasBackwardWorkspaceBytes(s.rows, s.width));
  const Exec exec = bench.exec(*workspace);
  return {[=] {
            BiasBackward(exec, {.d_x_TD = d_x.view, .d_bias = d_bias.As<float>()});
            (void)workspace;
          },
          0.0, s.elements() * 2.0, 0};
}

Prepared CastTo(Bench& bench, const Shape& s, DType from_dtype, DType to_dtype) {
  const Matrix from = bench.Values(from_dtype, s.rows, s.width);
  const Matrix to = bench.Zeros(to_dtype, s.rows, s.width);
  const Exec exec = bench.exec();
  return {[=] { Cast(exec, {.from = from.view, .to = to.view}); }, 0.0, s.elements() * 6.0, 0};
}

Prepared Sum(Bench& bench, const Shape& s) {
  const Matrix a = bench.Values(kHalf, s.rows, s.width);
  const Matrix b = bench.Values(kHalf, s.rows, s.width);
  const Matrix out = bench.Zeros(kHalf, s.rows, s.width);
  const Exec exec = bench.exec();
  return {[=] { Add(exec, {.a = a.view, .b = b.view, .out = out.view}); }, 0.0, s.elements() * 6.0,
          0};
}

Prepared GlobalNorm(Bench& bench, const Shape& s) {
  const Matrix x = bench.Values(kSingle, s.rows, s.width);
  const auto tiles = (s.rows * s.width + kNormTile - 1) / kNormTile;
  const auto partials = bench.Allocate(tiles * static_cast<std::int64_t>(sizeof(double)));
  const Exec exec = bench.exec();
  return {[=] {
            const auto sums = partials->As<double>().first(static_cast<std::size_t>(tiles));
            TileSquareSums(exec, {.x = x.As<float>(), .partials = sums});
          },
          0.0, s.elements() * 4.0, 0};
}

using Preparation = Prepared (*)(Bench&, const Shape&);
struct Operation {
  const char* name;
  Preparation prepare;
};
constexpr Operation kOperations[] = {
    {"rms_norm_forward", RmsNormWithResidual},
    {"rms_norm_backward", RmsNormGradient},
    {"swiglu_forward", Swiglu},
    {"swiglu_backward", SwigluGradient},
    {"rotary", Rotary},
    {"adamw", AdamwStep},
    {"embedding_forward", EmbeddingRows},
    {"embedding_backward", EmbeddingGradient},
    {"bias_forward", Bias},
    {"bias_backward", BiasGradient},
    {"cast_to_bf16", [](Bench& bench, const Shape& s) { return CastTo(bench, s, kSingle, kHalf); }},
    {"cast_to_fp32", [](Bench& bench, const Shape& s) { return CastTo(bench, s, kHalf, kSingle); }},
    {"add", Sum},
    {"global_norm", GlobalNorm},
};

}  // namespace

std::vector<Case> MemoryCases(bool tiny) {
  std::vector<Case> cases;
  for (const Operation& operation : kOperations) {
    for (const std::int64_t width : {1024, 2048, 4096}) {
      const Shape shape{(tiny ? kTinyElements : kElements) / width, width};
      cases.push_back(
          {fmt::format("memory/{}/{}", operation.name, width),
           [prepare = operation.prepare, shape](Bench& bench) { return prepare(bench, shape); }});
    }
  }
  return cases;
}

}  // namespace sequela::benchmarks
