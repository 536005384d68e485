// Memory bandwidth of the rowwise operations beside the machine's own: the first lines are a copy
// and a triad, and every operation reports its share of the triad measured in the same run with the
// same threads (of_triad), since absolute figures do not compare across machines.
//
// Bytes are those that an operation must read and write once: [T, D] activations with T = 8192
// rows, larger than the last cache; the extra read that a store to memory costs is counted for
// nobody. An operation that computes much per byte (dropout: ten Philox rounds per four elements)
// shows it here. Take medians: --benchmark_repetitions=5 --benchmark_report_aggregates_only=true.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <numeric>
#include <type_traits>
#include <vector>

#include "kernels/adamw.h"
#include "kernels/bias.h"
#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/global_norm.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"
#include "kernels/time_rope.h"

namespace sequela {
namespace {

constexpr std::int64_t kRows = 8192;
constexpr std::int64_t kColumns = 1024;
constexpr std::int64_t kElements = kRows * kColumns;

// Small values everywhere, so that no operation meets denormals or infinities.
template <typename T>
std::vector<T> Values(std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float value = 0.01F * static_cast<float>(i % 251) - 1.0F;
    if constexpr (std::is_same_v<T, bf16>) {
      values[i] = ToBf16(value);
    } else {
      values[i] = static_cast<T>(value);
    }
  }
  return values;
}

template <typename T>
class Activations {
 public:
  explicit Activations(std::int64_t columns = kColumns)
      : columns_(columns), values_(Values<T>(kRows * columns)) {}
  TensorView view() { return {values_.data(), kRows, columns_}; }
  ConstTensorView view() const { return {values_.data(), kRows, columns_}; }

 private:
  std::int64_t columns_;
  std::vector<T> values_;
};

void RunTriad(std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& c,
              int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = b[i] + 0.5F * c[i];
}

// Bytes per second of the best of five triads.
double TriadRate(int threads) {
  std::vector<float> a(kElements);
  const std::vector<float> b(kElements, 1.0F);
  const std::vector<float> c(kElements, 2.0F);
  double best_seconds = 1e9;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    RunTriad(a, b, c, threads);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best_seconds = std::min(best_seconds, taken.count());
  }
  return 3.0 * 4.0 * static_cast<double>(kElements) / best_seconds;
}

// Times `operation` with the threads that the benchmark's argument asks for.
template <typename Operation>
void Measure(benchmark::State& state, double bytes, const Operation& operation) {
  const auto threads = static_cast<int>(state.range(0));
  std::vector<std::byte> memory(8 << 20);
  void* begin = memory.data();
  std::size_t space = memory.size();
  std::align(64, 4 << 20, begin, space);
  const Exec exec{.num_threads = threads,
                  .workspace = {static_cast<std::byte*>(begin), std::size_t{4} << 20}};
  static const double triad_rates[] = {0.0, TriadRate(1), TriadRate(2)};
  operation(exec);
  for ([[maybe_unused]] auto _ : state) operation(exec);
  const double total = bytes * static_cast<double>(state.iterations());
  state.counters["GB/s"] = benchmark::Counter(total * 1e-9, benchmark::Counter::kIsRate);
  state.counters["of_triad"] =
      benchmark::Counter(total / triad_rates[std::min(threads, 2)], benchmark::Counter::kIsRate);
}

double Bytes(double floats, double halves = 0.0) {
  return static_cast<double>(kElements) * (4.0 * floats + 2.0 * halves);
}
template <typename T>
double BytesOf(double matrices) {
  return static_cast<double>(kElements) * static_cast<double>(sizeof(T)) * matrices;
}

void Copy(benchmark::State& state) {
  const std::vector<float> from = Values<float>(kElements);
  std::vector<float> to(kElements);
  Measure(state, Bytes(2), [&](const Exec& exec) {
    constexpr std::int64_t kPiece = 1 << 16;
#pragma omp parallel for num_threads(exec.num_threads) schedule(static)
    for (std::int64_t i = 0; i < kElements; i += kPiece) {
      std::memcpy(to.data() + i, from.data() + i, kPiece * sizeof(float));
    }
  });
}

void Triad(benchmark::State& state) {
  std::vector<float> a(kElements);
  const std::vector<float> b = Values<float>(kElements);
  const std::vector<float> c = Values<float>(kElements);
  Measure(state, Bytes(3), [&](const Exec& exec) { RunTriad(a, b, c, exec.num_threads); });
}

template <typename T>
void RmsNormForwardWithResidual(benchmark::State& state) {
  Activations<T> x;
  Activations<T> residual;
  Activations<T> sum;
  Activations<T> y;
  const std::vector<float> gain(kColumns, 1.0F);
  std::vector<float> rstd(kRows);
  Measure(state, BytesOf<T>(4), [&](const Exec& exec) {
    RmsNormForward(exec, {.x = x.view(),
                          .residual_in = residual.view(),
                          .residual_out = sum.view(),
                          .gain = gain,
                          .y = y.view(),
                          .rstd = rstd,
                          .epsilon = 1e-5F});
  });
}

template <typename T>
void RmsNormBackwardWithResidual(benchmark::State& state) {
  Activations<T> d_y;
  Activations<T> input;
  Activations<T> d_residual;
  Activations<T> d_input;
  const std::vector<float> gain(kColumns, 1.0F);
  const std::vector<float> rstd(kRows, 1.0F);
  std::vector<float> d_gain(kColumns);
  Measure(state, BytesOf<T>(4), [&](const Exec& exec) {
    RmsNormBackward(exec, {.d_y = d_y.view(),
                           .input = input.view(),
                           .d_residual = d_residual.view(),
                           .gain = gain,
                           .rstd = rstd,
                           .d_input = d_input.view(),
                           .d_gain = d_gain});
  });
}

template <typename T>
void Swiglu(benchmark::State& state) {
  Activations<T> gate_up(2 * kColumns);
  Activations<T> out;
  Measure(state, BytesOf<T>(3), [&](const Exec& exec) {
    SwigluForward(exec, {.gate_up_T2F = gate_up.view(), .out_TF = out.view()});
  });
}

template <typename T>
void SwigluGradient(benchmark::State& state) {
  Activations<T> gate_up(2 * kColumns);
  Activations<T> d_gate_up(2 * kColumns);
  Activations<T> d_out;
  Measure(state, BytesOf<T>(5), [&](const Exec& exec) {
    SwigluBackward(exec, {.gate_up_T2F = gate_up.view(),
                          .d_out_TF = d_out.view(),
                          .d_gate_up_T2F = d_gate_up.view()});
  });
}

template <typename T>
void RotateInPlace(benchmark::State& state) {
  constexpr std::int64_t kPairs = 32;
  Activations<T> x;
  const std::vector<float> cosine(kRows * kPairs, 0.8F);
  const std::vector<float> sine(kRows * kPairs, 0.6F);
  Measure(state, BytesOf<T>(2), [&](const Exec& exec) {
    TimeRopeForward(exec, {.x_TNH = x.view(),
                           .cos_TP = ConstTensorView(cosine.data(), kRows, kPairs),
                           .sin_TP = ConstTensorView(sine.data(), kRows, kPairs)});
  });
}

// Counted as the bytes of the tables it writes; it computes 2 x 32 sines and cosines a row.
void RotaryTable(benchmark::State& state) {
  constexpr std::int64_t kPairs = 32;
  std::vector<float> cosine(kRows * kPairs);
  std::vector<float> sine(kRows * kPairs);
  std::vector<std::int32_t> position(kRows);
  std::iota(position.begin(), position.end(), 0);
  const std::vector<std::int64_t> time_us(kRows, 1'000'000);
  const std::vector<std::int32_t> document_begin = {0, kRows};
  Measure(state, 2.0 * 4.0 * kRows * kPairs, [&](const Exec& exec) {
    BuildTimeRopeTable(exec, {.head_dim = 2 * kPairs, .num_time_pairs = 16},
                       {.position = position,
                        .time_us = time_us,
                        .document_begin = document_begin,
                        .cos_TP = TensorView(cosine.data(), kRows, kPairs),
                        .sin_TP = TensorView(sine.data(), kRows, kPairs)});
  });
}

template <typename T>
void BiasGradient(benchmark::State& state) {
  Activations<T> d_x;
  std::vector<float> d_bias(kColumns);
  Measure(state, BytesOf<T>(1),
          [&](const Exec& exec) { BiasBackward(exec, {.d_x_TD = d_x.view(), .d_bias = d_bias}); });
}

template <typename T>
void DropoutInPlace(benchmark::State& state) {
  Activations<T> x;
  std::vector<std::int32_t> position(kRows);
  std::iota(position.begin(), position.end(), 0);
  const std::vector<std::int64_t> sample = {7};
  const std::vector<std::int32_t> document_begin = {0, kRows};
  Measure(state, BytesOf<T>(2), [&](const Exec& exec) {
    Dropout(exec, {.x_TC = x.view(),
                   .out_TC = x.view(),
                   .sample = sample,
                   .document_begin = document_begin,
                   .position = position,
                   .key = 1,
                   .rate = 0.0});
  });
}

// Half of the positions hold one of eight tokens, as in records of patients.
std::vector<std::int32_t> SkewedTokens() {
  std::vector<std::int32_t> tokens(kRows);
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    tokens[t] = static_cast<std::int32_t>(t % 2 == 0 ? t / 2 % 8 : t * 7919 % 4096);
  }
  return tokens;
}

template <typename T>
void EmbeddingGradient(benchmark::State& state) {
  const std::vector<std::int32_t> tokens = SkewedTokens();
  EmbeddingPlan plan;
  plan.Build(tokens, 4096);
  Activations<T> d_out;
  std::vector<float> d_table(4096 * kColumns);
  Measure(state, BytesOf<T>(1) + 2.0 * 4.0 * 4096 * kColumns, [&](const Exec& exec) {
    EmbeddingBackward(exec, {.plan = &plan,
                             .d_out_TD = d_out.view(),
                             .d_table_VD = TensorView(d_table.data(), 4096, kColumns)});
  });
}

void EmbeddingPlanBuild(benchmark::State& state) {
  const std::vector<std::int32_t> tokens = SkewedTokens();
  EmbeddingPlan plan;
  Measure(state, 4.0 * kRows, [&](const Exec&) { plan.Build(tokens, 4096); });
}

void AdamwStep(benchmark::State& state) {
  std::vector<float> master = Values<float>(kElements);
  std::vector<float> m(kElements);
  std::vector<float> v(kElements);
  const std::vector<float> gradient = Values<float>(kElements);
  std::vector<bf16> weights(kElements);
  Measure(state, Bytes(7, 1), [&](const Exec& exec) {
    Adamw(exec, {.master = master,
                 .m = m,
                 .v = v,
                 .gradient = gradient,
                 .weights = weights,
                 .learning_rate = 1e-4,
                 .beta1 = 0.9,
                 .beta2 = 0.95,
                 .epsilon = 1e-8,
                 .weight_decay = 0.1,
                 .gradient_scale = 1.0,
                 .bias_correction1 = 0.5,
                 .bias_correction2 = 0.5});
  });
}

void GlobalNorm(benchmark::State& state) {
  const std::vector<float> x = Values<float>(kElements);
  std::vector<double> partials(kElements / kNormTile);
  Measure(state, Bytes(1),
          [&](const Exec& exec) { TileSquareSums(exec, {.x = x, .partials = partials}); });
}

void CastToBf16(benchmark::State& state) {
  Activations<float> from;
  Activations<bf16> to;
  Measure(state, Bytes(1, 1),
          [&](const Exec& exec) { Cast(exec, {.from = from.view(), .to = to.view()}); });
}

#define SEQUELA_ROWWISE(...) \
  BENCHMARK(__VA_ARGS__)     \
      ->Arg(1)               \
      ->Arg(2)               \
      ->ArgName("threads")   \
      ->UseRealTime()        \
      ->Unit(benchmark::kMillisecond)

SEQUELA_ROWWISE(Copy);
SEQUELA_ROWWISE(Triad);
SEQUELA_ROWWISE(RmsNormForwardWithResidual<float>);
SEQUELA_ROWWISE(RmsNormForwardWithResidual<bf16>);
SEQUELA_ROWWISE(RmsNormBackwardWithResidual<float>);
SEQUELA_ROWWISE(RmsNormBackwardWithResidual<bf16>);
SEQUELA_ROWWISE(Swiglu<float>);
SEQUELA_ROWWISE(Swiglu<bf16>);
SEQUELA_ROWWISE(SwigluGradient<float>);
SEQUELA_ROWWISE(SwigluGradient<bf16>);
SEQUELA_ROWWISE(RotateInPlace<float>);
SEQUELA_ROWWISE(RotateInPlace<bf16>);
SEQUELA_ROWWISE(RotaryTable);
SEQUELA_ROWWISE(BiasGradient<float>);
SEQUELA_ROWWISE(BiasGradient<bf16>);
SEQUELA_ROWWISE(DropoutInPlace<float>);
SEQUELA_ROWWISE(DropoutInPlace<bf16>);
SEQUELA_ROWWISE(EmbeddingGradient<float>);
SEQUELA_ROWWISE(EmbeddingGradient<bf16>);
SEQUELA_ROWWISE(EmbeddingPlanBuild);
SEQUELA_ROWWISE(AdamwStep);
SEQUELA_ROWWISE(GlobalNorm);
SEQUELA_ROWWISE(CastToBf16);

}  // namespace
}  // namespace sequela

BENCHMARK_MAIN();
