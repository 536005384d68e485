// A whole optimizer step beside the machine's own matrix rate, measured between the steps of the
// same run: absolute figures do not compare across machines, shares do.
//
//   trainer_step_benchmark [--model S|M|L] [--precision fp32|bf16] [--threads 2] [--pairs 5]
//                          [--documents 16k|4k] [--microbatch-tokens 4096]
//                          [--recompute none|selective|full] [--serve] [--short-warm-up]
//
// A step: the documents of document_mix.h in microbatches packed first-fit decreasing; forward,
// backward, clipping, AdamW; random tokens.
// Useful FLOPs: 6 * (weights of matrix products, head included) * tokens
//             + per document of L tokens: layers * 6 * hidden * L * (L + 1)   (causal attention).
// Machine rate: machine_rate.h.
// Prints one line a pair, medians with their range, and the split of a step by operation.
//
// --serve lets another program decide when: after the warm-up it reads `rate` and `step`, a line
// each, does that once, and answers with one JSON object; at the end of input it answers with the
// split. So steps can take turns with a peer's in the same minutes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "benchmarks/document_mix.h"
#include "benchmarks/machine_rate.h"
#include "kernels/base/philox.h"
#include "kernels/gemm.h"
#include "runtime/step_timer.h"
#include "trainer/memory_plan.h"
#include "trainer/train_step.h"

namespace sequela {
namespace {

struct Settings {
  std::string model = "S";
  std::string precision = "fp32";
  std::string documents = "16k";
  std::string recompute = "none";
  int threads = 2;
  int pairs = 5;
  int microbatch_tokens = 4096;
  bool serve = false;
  bool short_warm_up = false;

  bool is_bf16() const { return precision == "bf16"; }
  const std::vector<int>& document_lengths() const {
    return documents == "4k" ? kDocuments4k : kDocuments16k;
  }
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

double UsefulFlops(const ModelConfig& config, const std::vector<int>& lengths) {
  double flops = 0.0;
  for (const double length : lengths) {
    flops += 6.0 * static_cast<double>(CountMatmulParameters(config)) * length +
             config.num_hidden_layers * 6.0 * config.hidden_size * length * (length + 1.0);
  }
  return flops;
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

std::vector<Batch> Microbatches(const ModelConfig& config, const Settings& settings) {
  std::vector<Batch> batches;
  PhiloxStream stream(1, HashName("benchmark tokens"), 0);
  for (const auto& lengths :
       PackFirstFit(settings.document_lengths(), settings.microbatch_tokens)) {
    Batch& batch = batches.emplace_back();
    batch.document_begin = {0};
    for (const int length : lengths) AppendDocument(length, config.vocab_size, stream, &batch);
  }
  return batches;
}

TrainStateOptions OptionsOf(const Settings& settings) {
  return {.decoder = {.compute_dtype = settings.is_bf16() ? DType::kBFloat16 : DType::kFloat32,
                      .recompute = ParseRecompute(settings.recompute),
                      .num_threads = settings.threads,
                      .max_tokens = settings.microbatch_tokens,
                      .max_document_tokens = 2048},
          .optimizer = {},
          .zero_stage = 0};
}

// The model, its batches and the clock.
class StepBench {
 public:
  explicit StepBench(const Settings& settings)
      : settings_(settings),
        config_(ConfigOf(settings.model)),
        batches_(Microbatches(config_, settings)),
        communicator_(MakeSelfCommunicator()),
        state_(config_, OptionsOf(settings), *communicator_) {
    state_.Initialize(1);
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
          {.piece_complete = {},
           .after_operation = [&](const char* name) { seconds[name] += watch.Lap(); }});
    }
    return seconds;
  }

  std::int64_t num_microbatches() const { return static_cast<std::int64_t>(batches_.size()); }
  std::string memory_plan() const {
    return PlanMemory(config_, OptionsOf(settings_), 1).ToString();
  }
  double flops() const { return UsefulFlops(config_, settings_.document_lengths()); }
  double tokens() const {
    const std::vector<int>& lengths = settings_.document_lengths();
    return std::accumulate(lengths.begin(), lengths.end(), 0.0);
  }

 private:
  Timed Run(std::span<const Batch> batches) {
    const Stopwatch watch;
    const TrainStepResult result = TrainStep(
        state_, {.microbatches = batches, .learning_rate = 3e-4, .seed = 1, .step = step_++});
    return {watch.Seconds(), result.loss};
  }

  Settings settings_;
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
    machine.push_back(MachineRate(settings.is_bf16(), settings.threads));
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

void Serve(StepBench& bench, const Settings& settings) {
  bench.WarmUp();
  Answer({{"ready", true},
          {"tokens", bench.tokens()},
          {"flops", bench.flops()},
          {"native_bf16", GemmHasNativeBf16(Exec{})},
          {"memory", bench.memory_plan()}});
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "rate") {
      Answer({{"machine_flops", MachineRate(settings.is_bf16(), settings.threads)}});
    } else {
      const StepBench::Timed step = bench.Step();
      Answer({{"seconds", step.seconds}, {"loss", step.loss}});
    }
  }
  Answer({{"split", bench.Split()}});
}

}  // namespace
}  // namespace sequela

int main(int argc, char** argv) {
  sequela::Settings settings;
  CLI::App program("Times whole optimizer steps beside the machine's matrix rate.");
  program.add_option("--model", settings.model)->check(CLI::IsMember({"S", "M", "L"}));
  program.add_option("--precision", settings.precision)->check(CLI::IsMember({"fp32", "bf16"}));
  program.add_option("--documents", settings.documents)->check(CLI::IsMember({"16k", "4k"}));
  program.add_option("--recompute", settings.recompute);
  program.add_option("--threads", settings.threads)->check(CLI::PositiveNumber);
  program.add_option("--pairs", settings.pairs)->check(CLI::PositiveNumber);
  program.add_option("--microbatch-tokens", settings.microbatch_tokens)
      ->check(CLI::Range(2048, 1 << 20));
  program.add_flag("--serve", settings.serve);
  program.add_flag("--short-warm-up", settings.short_warm_up, "the first microbatch alone");
  CLI11_PARSE(program, argc, argv);
  sequela::StepBench bench(settings);
  settings.serve ? Serve(bench, settings) : RunPairs(bench, settings);
  return 0;
}
