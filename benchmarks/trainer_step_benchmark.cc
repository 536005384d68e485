// A whole optimizer step beside the machine's own matrix rate, measured between the steps of the
// same run: absolute figures do not compare across machines, shares do.
//
//   trainer_step_benchmark [--model S|M|L|125M|350M|1.3B] [--precision fp32|bf16] [--threads 2]
//                          [--pairs 5] [--documents 16k|4k] [--microbatch-tokens 4096]
//                          [--device cpu|cuda] [--head-size 64] [--microbatches 700,120/90,730]
//                          [--recompute none|selective|full] [--serve] [--short-warm-up]
//
// A step: the documents of document_mix.h in microbatches packed first-fit decreasing, or those of
// --microbatches as they are given; forward, backward, clipping, AdamW; random tokens.
// Useful FLOPs: 6 * (weights of matrix products, head included) * tokens
//             + per document of L tokens: layers * 6 * hidden * L * (L + 1)   (causal attention).
// Machine rate: machine_rate.h; on a GPU device_rate.h.
// Prints one line a pair, medians with their range, and the split of a step by operation.
//
// --serve lets another program decide when: after the warm-up it reads `rate` and `step`, a line
// each, does that once, and answers with one JSON object; at the end of input it answers with the
// split. So steps can take turns with a peer's in the same minutes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "benchmarks/device_rate.h"
#include "benchmarks/document_mix.h"
#include "benchmarks/machine_rate.h"
#include "benchmarks/noise.h"
#include "kernels/base/philox.h"
#include "kernels/gemm.h"
#include "runtime/step_timer.h"
#include "trainer/training/memory_plan.h"
#include "trainer/training/train_step.h"

namespace sequela {
namespace {

struct Settings {
  std::string model = "S";
  std::string precision = "fp32";
  std::string documents = "16k";
  std::string recompute = "none";
  std::string device = "cpu";
  std::string microbatches;  // lengths, commas between documents, a slash between microbatches
  int head_size = 64;
  int threads = 2;
  int pairs = 5;
  int microbatch_tokens = 4096;
  bool serve = false;
  bool short_warm_up = false;

  bool is_bf16() const { return precision == "bf16"; }
  DType dtype() const { return is_bf16() ? DType::kBFloat16 : DType::kFloat32; }
};

// The lengths of each microbatch's documents.
using Lengths = std::vector<std::vector<int>>;

Lengths LengthsOf(const Settings& settings) {
  if (settings.microbatches.empty()) {
    return PackFirstFit(settings.documents == "4k" ? kDocuments4k : kDocuments16k,
                        settings.microbatch_tokens);
  }
  Lengths lengths;
  for (const std::string& batch : CLI::detail::split(settings.microbatches, '/')) {
    lengths.emplace_back();
    for (const std::string& length : CLI::detail::split(batch, ',')) {
      lengths.back().push_back(std::stoi(length));
    }
  }
  return lengths;
}

struct ModelSize {
  std::int32_t layers, hidden, intermediate, vocabulary;
};
const std::map<std::string, ModelSize> kModels = {
    {"S", {4, 256, 704, 8192}},        {"M", {8, 512, 1408, 16384}},
    {"L", {12, 768, 2048, 32768}},     {"125M", {12, 768, 2048, 32768}},
    {"350M", {24, 1024, 2816, 32768}}, {"1.3B", {24, 2048, 5632, 32768}}};

ModelConfig ConfigOf(const Settings& settings) {
  const ModelSize& size = kModels.at(settings.model);
  ModelConfig config;
  config.num_hidden_layers = size.layers;
  config.hidden_size = size.hidden;
  config.intermediate_size = size.intermediate;
  config.vocab_size = size.vocabulary;
  config.head_dim = settings.head_size;
  config.num_attention_heads = config.num_key_value_heads = size.hidden / settings.head_size;
  config.tie_word_embeddings = true;
  config.rms_norm_eps = 1e-5;
  return config;
}

double UsefulFlops(const ModelConfig& config, const Lengths& lengths) {
  double flops = 0.0;
  for (const auto& batch : lengths) {
    for (const double length : batch) {
      flops += 6.0 * static_cast<double>(CountMatmulParameters(config)) * length +
               config.num_hidden_layers * 6.0 * config.hidden_size * length * (length + 1.0);
    }
  }
  return flops;
}

// The largest microbatch and the longest document, with room for those of document_mix.h.
int MostTokens(const Settings& settings, const Lengths& lengths) {
  int most = settings.microbatch_tokens;
  for (const auto& batch : lengths) {
    most = std::max(most, std::accumulate(batch.begin(), batch.end(), 0));
  }
  return most;
}
int LongestDocument(const Lengths& lengths) {
  int longest = 2048;
  for (const auto& batch : lengths) {
    for (const int length : batch) longest = std::max(longest, length);
  }
  return longest;
}

void AppendDocument(int length, std::int64_t vocabulary, PhiloxStream& stream, Batch* batch) {
  for (int i = 0; i < length; ++i) {
    batch->token.push_back(
        static_cast<std::int32_t>(stream.NextWord() % static_cast<std::uint32_t>(vocabulary)));
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

std::vector<Batch> Microbatches(const ModelConfig& config, const Lengths& lengths) {
  std::vector<Batch> batches;
  PhiloxStream stream(1, HashName("benchmark tokens"), 0);
  for (const auto& documents : lengths) {
    Batch& batch = batches.emplace_back();
    batch.document_begin = {0};
    for (const int length : documents) AppendDocument(length, config.vocab_size, stream, &batch);
  }
  return batches;
}

TrainStateOptions OptionsOf(const Settings& settings, const Lengths& lengths) {
  return {.decoder = {.compute_dtype = settings.dtype(),
                      .recompute = ParseRecompute(settings.recompute),
                      .num_threads = settings.threads,
                      .max_tokens = MostTokens(settings, lengths),
                      .max_document_tokens = LongestDocument(lengths)},
          .optimizer = {},
          .zero_stage = 0};
}

std::shared_ptr<Device> DeviceOf(const Settings& settings) {
  if (settings.device == "cuda") return MakeCudaDevice(0);
  return {&HostDevice(), [](Device*) {}};  // lives as long as the program
}

// Weights of a GPU's model. The initializer's own numbers take one core half a minute a billion, and
// time knows no difference.
void FillWeights(const ParameterPiece& piece, std::span<float> values) {
  if (piece.num_dims == 1) {
    std::fill(values.begin(), values.end(), 1.0F);
    return;
  }
  const std::span<std::byte> bytes = std::as_writable_bytes(values);
  benchmarks::FillWithNoise(HostDevice(), bytes.data(), std::ssize(bytes), DType::kFloat32, 0.02F);
}

// The model, its batches and the clock.
class StepBench {
 public:
  explicit StepBench(const Settings& settings)
      : settings_(settings),
        lengths_(LengthsOf(settings)),
        device_(DeviceOf(settings)),
        config_(ConfigOf(settings)),
        batches_(Microbatches(config_, lengths_)),
        communicator_(MakeSelfCommunicator()),
        state_(config_, OptionsOf(settings, lengths_), *communicator_, *device_) {
    if (device_->is_host()) {
      state_.Initialize(1);
    } else {
      state_.optimizer().Initialize([&](int piece, std::span<float> values) {
        FillWeights(state_.table().piece(piece), values);
      });
    }
  }

  struct Timed {
    double seconds = 0.0;
    double loss = 0.0;
  };
  // The first step builds what it needs, and is not to be counted.
  void WarmUp() { Run(std::span(batches_).first(settings_.short_warm_up ? 1 : batches_.size())); }
  Timed Step() { return Run(batches_); }

  // Seconds by operation of the microbatches' forward and backward.
  std::map<std::string, double> Split() {
    std::map<std::string, double> seconds;
    for (const Batch& batch : batches_) {
      Stopwatch watch;
      state_.decoder().ForwardBackward(
          state_.buffers(), batch, {},
          {.piece_complete = {}, .after_operation = [&](const char* name) {
             device_->Synchronize();
             seconds[name] += watch.Lap();
           }});
    }
    return seconds;
  }

  std::int64_t num_microbatches() const { return static_cast<std::int64_t>(batches_.size()); }
  std::string memory_plan() const {
    return PlanMemory(config_, OptionsOf(settings_, lengths_), 1, *device_).ToString();
  }
  double flops() const { return UsefulFlops(config_, lengths_); }
  double tokens() const {
    double tokens = 0.0;
    for (const auto& batch : lengths_) tokens += std::accumulate(batch.begin(), batch.end(), 0.0);
    return tokens;
  }
  double machine_rate() const {
    if (device_->is_host()) return MachineRate(settings_.is_bf16(), settings_.threads);
    return DeviceRate(*device_, settings_.dtype());
  }

 private:
  Timed Run(std::span<const Batch> batches) {
    const Stopwatch watch;
    const TrainStepResult result = TrainStep(
        state_, {.microbatches = batches, .learning_rate = 3e-4, .seed = 1, .step = step_++});
    device_->Synchronize();  // the optimizer's update
    return {watch.Seconds(), result.loss};
  }

  Settings settings_;
  Lengths lengths_;
  std::shared_ptr<Device> device_;
  ModelConfig config_;
  std::vector<Batch> batches_;
  std::unique_ptr<Communicator> communicator_;
  TrainState state_;
  std::int64_t step_ = 0;
};

void PrintSummary(const char* what, std::vector<double> values, double unit) {
  std::sort(values.begin(), values.end());
  fmt::print("{:<22} median {:9.2f}   range {:.2f} - {:.2f}\n", what,
             values[values.size() / 2] / unit, values.front() / unit, values.back() / unit);
}

void PrintSplit(const std::map<std::string, double>& seconds) {
  double total = 0.0;
  std::vector<std::pair<double, std::string>> sorted;
  for (const auto& [name, time] : seconds) {
    sorted.emplace_back(time, name);
    total += time;
  }
  std::sort(sorted.rbegin(), sorted.rend());
  fmt::print("\nforward and backward, {:.3f} s:\n", total);
  for (const auto& [time, name] : sorted) {
    fmt::print("  {:<22} {:7.1f} ms  {:5.1f} %\n", name, time * 1e3, 100.0 * time / total);
  }
}

void RunPairs(StepBench& bench, const Settings& settings) {
  fmt::print("model {} {} threads {} microbatches {} recompute {}\n{}\n", settings.model,
             settings.precision, settings.threads, bench.num_microbatches(), settings.recompute,
             bench.memory_plan());
  std::vector<double> rates;
  std::vector<double> machine;
  std::vector<double> speeds;
  bench.WarmUp();
  for (int pair = 0; pair < settings.pairs; ++pair) {
    machine.push_back(bench.machine_rate());
    const StepBench::Timed step = bench.Step();
    rates.push_back(bench.flops() / step.seconds);
    speeds.push_back(bench.tokens() / step.seconds);
    fmt::print("step {:.3f} s  {:8.1f} tokens/s  {:7.1f} GFLOP/s  machine {:7.1f}  loss {:.4f}\n",
               step.seconds, speeds.back(), rates.back() * 1e-9, machine.back() * 1e-9, step.loss);
    std::fflush(stdout);
  }
  const double best_machine = *std::max_element(machine.begin(), machine.end());
  PrintSummary("tokens/s", speeds, 1.0);
  PrintSummary("useful GFLOP/s", rates, 1e9);
  PrintSummary("machine GFLOP/s", machine, 1e9);
  PrintSummary("% of machine's best", rates, best_machine * 0.01);
  PrintSplit(bench.Split());
}

void Answer(const nlohmann::json& json) {
  fmt::print("{}\n", json.dump());
  std::fflush(stdout);
}

void Serve(StepBench& bench) {
  bench.WarmUp();
  Answer({{"ready", true},
          {"tokens", bench.tokens()},
          {"flops", bench.flops()},
          {"native_bf16", GemmHasNativeBf16(Exec{})},
          {"memory", bench.memory_plan()}});
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "rate") {
      Answer({{"machine_flops", bench.machine_rate()}});
    } else {
      const StepBench::Timed step = bench.Step();
      Answer({{"seconds", step.seconds}, {"loss", step.loss}});
    }
  }
  Answer({{"split", bench.Split()}});
}

int Main(int argc, char** argv) {
  Settings settings;
  CLI::App program("Times whole optimizer steps beside the machine's matrix rate.");
  program.add_option("--model", settings.model)->check(CLI::IsMember(kModels));
  program.add_option("--precision", settings.precision)->check(CLI::IsMember({"fp32", "bf16"}));
  program.add_option("--documents", settings.documents)->check(CLI::IsMember({"16k", "4k"}));
  program.add_option("--recompute", settings.recompute);
  program.add_option("--device", settings.device)->check(CLI::IsMember({"cpu", "cuda"}));
  program.add_option("--head-size", settings.head_size)->check(CLI::IsMember({32, 64, 128}));
  program.add_option("--microbatches", settings.microbatches,
                     "lengths, commas between documents, slashes between microbatches");
  program.add_option("--threads", settings.threads)->check(CLI::PositiveNumber);
  program.add_option("--pairs", settings.pairs)->check(CLI::PositiveNumber);
  program.add_option("--microbatch-tokens", settings.microbatch_tokens)
      ->check(CLI::Range(2048, 1 << 20));
  program.add_flag("--serve", settings.serve);
  program.add_flag("--short-warm-up", settings.short_warm_up, "the first microbatch alone");
  CLI11_PARSE(program, argc, argv);
  StepBench bench(settings);
  settings.serve ? Serve(bench) : RunPairs(bench, settings);
  return 0;
}

}  // namespace
}  // namespace sequela

int main(int argc, char** argv) {
  try {
    return sequela::Main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "trainer_step_benchmark: {}\n", error.what());
    return 2;
  }
}
