// A whole optimizer step beside the machine's own matrix rate, measured between the steps of the
// same run: absolute figures do not compare across machines, shares do.
//
//   trainer_step_benchmark [--model S|M|L] [--precision fp32|bf16] [--threads 2] [--pairs 5]
//                          [--microbatch-tokens 4096] [--recompute none|selective|full]
//
// A step: 30 documents, 16,384 tokens (lengths lognormal, median 500, sigma 0.9, cut to 16..2048),
// in microbatches packed first-fit decreasing; forward, backward, clipping, AdamW; random tokens.
// Useful FLOPs: 6 * (weights of matrix products, head included) * tokens
//             + per document of L tokens: layers * 6 * hidden * L * (L + 1)   (causal attention).
// Machine rate: the best of the products below by oneDNN with its own threading, best of five.
// Prints one line a pair, medians with their range, and the split of a step by operation.
#include <fmt/format.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <dnnl.hpp>
#include <map>
#include <string>
#include <vector>

#include "kernels/base/philox.h"
#include "runtime/step_timer.h"
#include "trainer/train_step.h"

namespace sequela {
namespace {

constexpr std::array kDocumentLengths = {373, 208, 780, 733, 336, 457,  99,   226, 608, 855,
                                         496, 238, 363, 802, 146, 1479, 407,  242, 196, 181,
                                         994, 148, 234, 548, 168, 177,  2048, 439, 357, 2046};
constexpr std::array<std::array<std::int64_t, 3>, 3> kProducts = {
    {{1024, 1024, 1024}, {4096, 512, 2048}, {2048, 768, 2048}}};  // M, K, N

struct Settings {
  std::string model = "S";
  std::string precision = "fp32";
  std::string recompute = "none";
  int threads = 2;
  int pairs = 5;
  std::int64_t microbatch_tokens = 4096;
};

ModelConfig ConfigOf(const std::string& name) {
  ModelConfig config;
  const bool is_small = name == "S";
  const bool is_medium = name == "M";
  config.num_hidden_layers = is_small ? 4 : is_medium ? 8 : 12;
  config.hidden_size = is_small ? 256 : is_medium ? 512 : 768;
  config.intermediate_size = is_small ? 704 : is_medium ? 1408 : 2048;
  config.vocab_size = is_small ? 8192 : is_medium ? 16384 : 32768;
  config.num_attention_heads = config.num_key_value_heads = config.hidden_size / 64;
  config.tie_word_embeddings = true;
  config.rms_norm_eps = 1e-5;
  return config;
}

double UsefulFlops(const ModelConfig& config) {
  double flops = 0.0;
  for (const double length : kDocumentLengths) {
    flops += 6.0 * static_cast<double>(CountMatmulParameters(config)) * length +
             config.num_hidden_layers * 6.0 * config.hidden_size * length * (length + 1.0);
  }
  return flops;
}

// The documents in microbatches, longest first into the first that has room.
std::vector<Batch> Microbatches(const ModelConfig& config, std::int64_t max_tokens) {
  std::vector<int> lengths(kDocumentLengths.begin(), kDocumentLengths.end());
  std::sort(lengths.rbegin(), lengths.rend());
  std::vector<Batch> batches;
  PhiloxStream stream(1, HashName("benchmark tokens"), 0);
  for (const int length : lengths) {
    auto batch = std::find_if(batches.begin(), batches.end(), [&](const Batch& b) {
      return b.num_tokens() + length <= max_tokens;
    });
    if (batch == batches.end()) {
      batches.emplace_back().document_begin = {0};
      batch = batches.end() - 1;
    }
    for (int i = 0; i < length; ++i) {
      batch->token.push_back(static_cast<std::int32_t>(
          stream.NextWord() % static_cast<std::uint32_t>(config.vocab_size)));
      batch->position.push_back(i);
      batch->weight.push_back(i + 1 < length ? 1.0F : 0.0F);
    }
    for (int i = 0; i < length; ++i) {
      const std::size_t next = batch->target.size() + 1;
      batch->target.push_back(i + 1 < length ? batch->token[next] : Batch::kNoTarget);
    }
    batch->time_us.resize(batch->token.size());
    batch->document_begin.push_back(static_cast<std::int32_t>(batch->token.size()));
    batch->sample.push_back(static_cast<std::int64_t>(batch->sample.size()));
  }
  return batches;
}

// FLOP/s of one product by oneDNN, best of five.
double ProductRate(std::int64_t m, std::int64_t k, std::int64_t n, bool is_bf16) {
  using dnnl::memory;
  const auto type = is_bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const memory::desc a({m, k}, type, memory::format_tag::ab);
  const memory::desc b({k, n}, type, memory::format_tag::ab);
  const memory::desc c({m, n}, memory::data_type::f32, memory::format_tag::ab);
  const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a, b, c), engine);
  const dnnl::matmul product(description);
  memory a_memory(a, engine);
  memory b_memory(b, engine);
  memory c_memory(c, engine);
  std::fill_n(static_cast<char*>(a_memory.get_data_handle()), a.get_size(), 0);
  std::fill_n(static_cast<char*>(b_memory.get_data_handle()), b.get_size(), 0);
  double best_seconds = 1e9;
  for (int i = 0; i < 6; ++i) {
    const Stopwatch watch;
    product.execute(
        stream, {{DNNL_ARG_SRC, a_memory}, {DNNL_ARG_WEIGHTS, b_memory}, {DNNL_ARG_DST, c_memory}});
    stream.wait();
    if (i > 0) best_seconds = std::min(best_seconds, watch.Seconds());
  }
  return 2.0 * static_cast<double>(m * k * n) / best_seconds;
}

// Without bf16 instructions oneDNN refuses to build the product: fp32's rate is then the machine's.
double MachineRate(bool is_bf16) {
  double best = 0.0;
  for (const auto& [m, k, n] : kProducts) {
    try {
      best = std::max(best, ProductRate(m, k, n, is_bf16));
    } catch (const dnnl::error&) {
      best = std::max(best, ProductRate(m, k, n, false));
    }
  }
  return best;
}

double MedianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void PrintSummary(const char* what, const std::vector<double>& values, double unit) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  fmt::print("{:<22} median {:9.2f}   range {:.2f} - {:.2f}\n", what, MedianOf(values) / unit,
             *low / unit, *high / unit);
}

// Seconds by operation of the microbatches' forward and backward.
void PrintSplit(TrainState& state, const std::vector<Batch>& batches) {
  std::map<std::string, double> seconds;
  double total = 0.0;
  for (const Batch& batch : batches) {
    Stopwatch watch;
    state.decoder().ForwardBackward(
        state.buffers(), batch, {},
        {.piece_complete = {}, .after_operation = [&](const char* operation) {
           const double lap = watch.Lap();
           seconds[operation] += lap;
           total += lap;
         }});
  }
  std::vector<std::pair<double, std::string>> sorted;
  for (const auto& [name, time] : seconds) sorted.emplace_back(time, name);
  std::sort(sorted.rbegin(), sorted.rend());
  fmt::print("\nforward and backward, {:.3f} s:\n", total);
  for (const auto& [time, name] : sorted) {
    fmt::print("  {:<22} {:7.1f} ms  {:5.1f} %\n", name, time * 1e3, 100.0 * time / total);
  }
}

void Run(const Settings& settings) {
  omp_set_num_threads(settings.threads);
  const bool is_bf16 = settings.precision == "bf16";
  const ModelConfig config = ConfigOf(settings.model);
  const std::vector<Batch> batches = Microbatches(config, settings.microbatch_tokens);
  const auto communicator = MakeSelfCommunicator();
  const TrainStateOptions options = {
      .decoder = {.compute_dtype = is_bf16 ? DType::kBFloat16 : DType::kFloat32,
                  .recompute = ParseRecompute(settings.recompute),
                  .num_threads = settings.threads,
                  .max_tokens = settings.microbatch_tokens,
                  .max_document_tokens = 2048},
      .optimizer = {},
      .zero_stage = 0};
  fmt::print("model {} {} threads {} microbatches {} recompute {}\n{}\n", settings.model,
             settings.precision, settings.threads, batches.size(), settings.recompute,
             PlanMemory(config, options, 1).ToString());
  TrainState state(config, options, *communicator);
  state.Initialize(1);
  std::int64_t tokens = 0;
  for (const Batch& batch : batches) tokens += batch.num_tokens();
  const double flops = UsefulFlops(config);
  std::vector<double> rates;
  std::vector<double> machine;
  std::vector<double> speeds;
  for (int pair = -1; pair < settings.pairs; ++pair) {
    const double machine_rate = MachineRate(is_bf16);
    const Stopwatch watch;
    const TrainStepResult result = TrainStep(
        state, {.microbatches = batches, .learning_rate = 3e-4, .seed = 1, .step = pair + 1});
    const double seconds = watch.Seconds();
    if (pair < 0) continue;  // the first step builds what it needs
    machine.push_back(machine_rate);
    rates.push_back(flops / seconds);
    speeds.push_back(static_cast<double>(tokens) / seconds);
    fmt::print("step {:.3f} s  {:8.1f} tokens/s  {:7.1f} GFLOP/s  machine {:7.1f}  loss {:.4f}\n",
               seconds, speeds.back(), rates.back() * 1e-9, machine_rate * 1e-9, result.loss);
  }
  const double best_machine = *std::max_element(machine.begin(), machine.end());
  PrintSummary("tokens/s", speeds, 1.0);
  PrintSummary("useful GFLOP/s", rates, 1e9);
  PrintSummary("machine GFLOP/s", machine, 1e9);
  PrintSummary("% of machine's best", rates, best_machine * 0.01);
  PrintSplit(state, batches);
}

}  // namespace
}  // namespace sequela

int main(int argc, char** argv) {
  sequela::Settings settings;
  CLI::App program("Times whole optimizer steps beside the machine's matrix rate.");
  program.add_option("--model", settings.model)->check(CLI::IsMember({"S", "M", "L"}));
  program.add_option("--precision", settings.precision)->check(CLI::IsMember({"fp32", "bf16"}));
  program.add_option("--recompute", settings.recompute);
  program.add_option("--threads", settings.threads)->check(CLI::PositiveNumber);
  program.add_option("--pairs", settings.pairs)->check(CLI::PositiveNumber);
  program.add_option("--microbatch-tokens", settings.microbatch_tokens)
      ->check(CLI::Range(std::int64_t{2048}, std::int64_t{1} << 20));
  CLI11_PARSE(program, argc, argv);
  sequela::Run(settings);
  return 0;
}
