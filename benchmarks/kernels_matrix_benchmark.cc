// What does matrix arithmetic: products, attention, cross-entropy, at training shapes, in useful
// GFLOP/s, beside machine_rate, oneDNN's best product taken in the same run (machine_rate.h).
// Useful FLOPs of attention are those of visible pairs: 4 per pair and channel forward, 8 backward
// (what is computed again for want of memory is not counted). Cross-entropy stands beside its own
// three products, done whole: cross_entropy/... and its_products/... have the same FLOPs.
// Interleave and take medians, since the machine is not quiet for long:
//   --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "benchmarks/document_mix.h"
#include "benchmarks/machine_rate.h"
#include "kernels/attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/gemm.h"

namespace sequela {
namespace {

constexpr int kThreads = 2;
constexpr std::int64_t kHidden = 512;  // model M

const char* NameOf(DType dtype) { return dtype == DType::kBFloat16 ? "bf16" : "fp32"; }

// Memory as training has it: huge pages where the system grants them.
class Memory {
 public:
  explicit Memory(std::int64_t size_bytes)
      : size_(RoundUp(static_cast<std::size_t>(std::max<std::int64_t>(size_bytes, 1)))),
        data_(static_cast<std::byte*>(std::aligned_alloc(kPage, size_))) {
    if (!data_) throw std::bad_alloc();
    ::madvise(data_.get(), size_, MADV_HUGEPAGE);
  }
  std::byte* data() const { return data_.get(); }
  std::span<std::byte> bytes() const { return {data_.get(), size_}; }

 private:
  static constexpr std::size_t kPage = std::size_t{2} << 20;
  static std::size_t RoundUp(std::size_t size) { return (size + kPage - 1) / kPage * kPage; }
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };

  std::size_t size_;
  std::unique_ptr<std::byte, Free> data_;
};

// A matrix of its own memory, with small values of both signs.
class Matrix {
 public:
  Matrix(DType dtype, std::int64_t rows, std::int64_t columns)
      : dtype_(dtype), rows_(rows), columns_(columns), memory_(rows * columns * SizeOf(dtype)) {
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      const float value = 0.01F * static_cast<float>(i * 7919 % 251) - 1.25F;
      if (dtype == DType::kBFloat16) {
        reinterpret_cast<bf16*>(memory_.data())[i] = ToBf16(value);
      } else {
        reinterpret_cast<float*>(memory_.data())[i] = value;
      }
    }
  }
  TensorView view() { return {memory_.data(), dtype_, rows_, columns_}; }
  ConstTensorView view() const { return {memory_.data(), dtype_, rows_, columns_}; }

 private:
  DType dtype_;
  std::int64_t rows_;
  std::int64_t columns_;
  Memory memory_;
};

// Calls `operation` once to build what it needs, then times it.
template <typename Operation>
void Measure(benchmark::State& state, double flops, const Operation& operation) {
  operation();
  for ([[maybe_unused]] auto _ : state) operation();
  state.counters["GFLOP/s"] = benchmark::Counter(
      flops * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void MachineRateNow(benchmark::State& state, DType dtype) {
  double best = 0.0;
  for ([[maybe_unused]] auto _ : state) {
    best = std::max(best, MachineRate(dtype == DType::kBFloat16, kThreads));
  }
  state.counters["GFLOP/s"] = best * 1e-9;
}

// The three products of a linear layer of `in` to `out` channels over T tokens (gemm.h).
enum class Pass { kForward, kInputGradient, kWeightGradient };
const char* NameOf(Pass pass) {
  return pass == Pass::kForward         ? "forward"
         : pass == Pass::kInputGradient ? "input_gradient"
                                        : "weight_gradient";
}

struct LinearShape {
  std::int64_t tokens, in, out;
};

GemmArgs ProductOf(Pass pass, Matrix& x_TI, Matrix& w_OI, Matrix& y_TO, Matrix& dw_OI) {
  if (pass == Pass::kForward) {
    return {.a = x_TI.view(), .b = w_OI.view(), .c = y_TO.view(), .transpose_b = true};
  }
  if (pass == Pass::kInputGradient) {
    return {.a = y_TO.view(), .b = w_OI.view(), .c = x_TI.view()};
  }
  return {.a = y_TO.view(),
          .b = x_TI.view(),
          .c = dw_OI.view(),
          .transpose_a = true,
          .accumulate = true};
}

// Times the given products one after another.
void Products(benchmark::State& state, DType dtype, const LinearShape& shape,
              const std::vector<Pass>& passes) {
  Matrix x_TI(dtype, shape.tokens, shape.in);
  Matrix w_OI(dtype, shape.out, shape.in);
  Matrix y_TO(dtype, shape.tokens, shape.out);
  Matrix dw_OI(DType::kFloat32, shape.out, shape.in);
  std::vector<GemmArgs> products;
  Exec exec{.num_threads = kThreads};
  std::int64_t workspace_bytes = 64;
  for (const Pass pass : passes) {
    products.push_back(ProductOf(pass, x_TI, w_OI, y_TO, dw_OI));
    workspace_bytes = std::max(workspace_bytes, GemmWorkspaceBytes(exec, products.back()));
  }
  Memory workspace(workspace_bytes);
  exec.workspace = workspace.bytes();
  Measure(state, 2.0 * static_cast<double>(shape.tokens * shape.in * shape.out) * passes.size(),
          [&] {
            for (const GemmArgs& args : products) Gemm(exec, args);
          });
}

void CrossEntropyWhole(benchmark::State& state, DType dtype, const LinearShape& shape) {
  Matrix hidden_TD(dtype, shape.tokens, shape.in);
  Matrix weight_VD(dtype, shape.out, shape.in);
  Matrix dhidden_TD(dtype, shape.tokens, shape.in);
  Matrix dweight_VD(DType::kFloat32, shape.out, shape.in);
  std::vector<std::int32_t> target(static_cast<std::size_t>(shape.tokens));
  for (std::size_t t = 0; t < target.size(); ++t) {
    target[t] = static_cast<std::int32_t>(static_cast<std::int64_t>(t) * 7919 % shape.out);
  }
  std::vector<float> nll(target.size());
  Exec exec{.num_threads = kThreads};
  Memory workspace(CrossEntropyWorkspaceBytes(exec, shape.out, shape.in, dtype));
  exec.workspace = workspace.bytes();
  Measure(state, 6.0 * static_cast<double>(shape.tokens * shape.in * shape.out), [&] {
    CrossEntropy(exec, {.hidden_TD = hidden_TD.view(),
                        .weight_VD = weight_VD.view(),
                        .target = target,
                        .loss_weight = {},
                        .nll = nll,
                        .dhidden_TD = dhidden_TD.view(),
                        .dweight_VD = dweight_VD.view()});
  });
}

struct AttentionCase {
  std::string name;
  std::vector<int> documents;
  std::int64_t head_size = 64;
  std::int64_t queries_per_key = 1;
};

void Attention(benchmark::State& state, DType dtype, const AttentionCase& what, bool backward) {
  std::vector<std::int32_t> document_begin = {0};
  for (const int length : what.documents) {
    document_begin.push_back(document_begin.back() + length);
  }
  const AttentionPlan plan = AttentionPlan::Causal(document_begin);
  const std::int64_t tokens = plan.num_tokens();
  const AttentionShape shape = {.num_query_heads = kHidden / what.head_size,
                                .num_key_heads = kHidden / what.head_size / what.queries_per_key,
                                .head_size = what.head_size};
  const std::int64_t key_channels = kHidden / what.queries_per_key;
  Matrix q(dtype, tokens, kHidden), k(dtype, tokens, key_channels), v(dtype, tokens, key_channels);
  Matrix out(dtype, tokens, kHidden), d_out(dtype, tokens, kHidden), dq(dtype, tokens, kHidden);
  Matrix dk(dtype, tokens, key_channels), dv(dtype, tokens, key_channels);
  Matrix lse(DType::kFloat32, tokens, shape.num_query_heads);
  const float scale = 0.125F;
  Exec exec{.num_threads = kThreads};
  Memory workspace(
      std::max({AttentionForwardWorkspaceBytes(exec, shape),
                AttentionBackwardWorkspaceBytes(exec, shape, tokens, plan.longest_document()),
                std::int64_t{64}}));
  exec.workspace = workspace.bytes();
  const auto forward = [&] {
    AttentionForward(exec, {.q_TNH = q.view(),
                            .k_TGH = k.view(),
                            .v_TGH = v.view(),
                            .out_TNH = out.view(),
                            .lse_TN = lse.view(),
                            .plan = &plan,
                            .shape = shape,
                            .softmax_scale = scale,
                            .dropout = {}});
  };
  const double flops = 4.0 * static_cast<double>(plan.num_pairs() * kHidden);
  if (!backward) return Measure(state, flops, forward);
  forward();
  Measure(state, 2.0 * flops, [&] {
    AttentionBackward(exec, {.q_TNH = q.view(),
                             .k_TGH = k.view(),
                             .v_TGH = v.view(),
                             .out_TNH = out.view(),
                             .lse_TN = lse.view(),
                             .dout_TNH = d_out.view(),
                             .dq_TNH = dq.view(),
                             .dk_TGH = dk.view(),
                             .dv_TGH = dv.view(),
                             .plan = &plan,
                             .shape = shape,
                             .softmax_scale = scale,
                             .dropout = {}});
  });
}

template <typename Function>
void Register(const std::string& name, const Function& function) {
  benchmark::RegisterBenchmark(name.c_str(), function)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

void RegisterProducts(DType dtype) {
  const std::vector<std::pair<std::string, LinearShape>> layers = {
      {"qkv", {4096, kHidden, 3 * kHidden}},
      {"output", {4096, kHidden, kHidden}},
      {"gate_and_up", {4096, kHidden, 2 * 1408}},
      {"down", {4096, 1408, kHidden}}};
  for (const auto& [name, shape] : layers) {
    for (const Pass pass : {Pass::kForward, Pass::kInputGradient, Pass::kWeightGradient}) {
      Register(fmt::format("gemm/{}/{}/{}", name, NameOf(pass), NameOf(dtype)),
               [dtype, shape = shape, pass](benchmark::State& state) {
                 Products(state, dtype, shape, {pass});
               });
    }
  }
}

void RegisterAttention(DType dtype) {
  const std::vector<int> records = PackFirstFit(kDocuments16k, 4096)[2];  // 373 to 802 tokens
  const std::vector<int> longest = {2048, 2048};
  const std::vector<int> shortest(64, 64);
  const std::vector<AttentionCase> cases = {
      {"records/head64", records},       {"records/head32", records, 32},
      {"records/head128", records, 128}, {"records/head64_grouped4", records, 64, 4},
      {"2x2048/head64", longest},        {"64x64/head64", shortest}};
  for (const AttentionCase& what : cases) {
    for (const bool backward : {false, true}) {
      Register(fmt::format("attention/{}/{}/{}", what.name, backward ? "backward" : "forward",
                           NameOf(dtype)),
               [dtype, what, backward](benchmark::State& state) {
                 Attention(state, dtype, what, backward);
               });
    }
  }
}

void RegisterAll() {
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    Register(fmt::format("machine_rate/{}", NameOf(dtype)),
             [dtype](benchmark::State& state) { MachineRateNow(state, dtype); });
    RegisterProducts(dtype);
    RegisterAttention(dtype);
    const LinearShape head = {2048, kHidden, 16384};
    Register(fmt::format("cross_entropy/2048x512x16384/{}", NameOf(dtype)),
             [=](benchmark::State& state) { CrossEntropyWhole(state, dtype, head); });
    Register(fmt::format("its_products/2048x512x16384/{}", NameOf(dtype)), [=](benchmark::State&
                                                                                   state) {
      Products(state, dtype, head, {Pass::kForward, Pass::kInputGradient, Pass::kWeightGradient});
    });
  }
}

}  // namespace
}  // namespace sequela

int main(int argc, char** argv) {
  sequela::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("native_bf16",
                              sequela::GemmHasNativeBf16(sequela::Exec{}) ? "yes" : "no");
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
