// What the loader does by itself: tokens per second prepared on one thread, without training and
// without reading ahead, and how full it packs.
//   dataio_loader_benchmark STORE [--context-length 512] [--global-batch-tokens 8192]
//                           [--microbatch-tokens 8192] [--ranks 1] [--seconds 3]
// Prints one JSON object. packing: tokens / budget of the micro-batches that hold any;
// batch_fill: tokens of a step / global_batch_tokens.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "dataio/loader/batch_loader.h"
#include "runtime/step_timer.h"

namespace sequela {
namespace {

struct Settings {
  std::string store;
  LoaderOptions options;
  double seconds = 3.0;
};

void Run(const Settings& settings) {
  const ChainStore store = ChainStore::Open(settings.store);
  const Stopwatch opening;
  BatchLoader loader(store, settings.options);
  const double open_seconds = opening.Seconds();
  std::int64_t steps = 0;
  std::int64_t tokens = 0;         // of this rank
  std::int64_t global_tokens = 0;  // of all
  std::int64_t microbatches = 0;
  const Stopwatch watch;
  while (watch.Seconds() < settings.seconds) {
    const StepInput input = loader.Next();
    for (const Batch& batch : input.microbatches) {
      tokens += batch.num_tokens();
      microbatches += batch.num_tokens() > 0 ? 1 : 0;
    }
    global_tokens += input.global_tokens;
    ++steps;
  }
  const double seconds = watch.Seconds();
  const auto share = [](std::int64_t part, std::int64_t whole) {
    return static_cast<double>(part) / static_cast<double>(whole);
  };
  const nlohmann::ordered_json json = {
      {"steps", steps},
      {"seconds", seconds},
      {"open_seconds", open_seconds},
      {"tokens_per_second", static_cast<double>(tokens) / seconds},
      {"packing", share(tokens, microbatches * settings.options.microbatch_tokens)},
      {"batch_fill", share(global_tokens, steps * settings.options.global_batch_tokens)},
      {"windows_per_epoch", loader.windows_per_epoch()}};
  fmt::print("{}\n", json.dump());
}

}  // namespace
}  // namespace sequela

int main(int argc, char** argv) {
  sequela::Settings settings;
  settings.options.prefetch_steps = 0;
  CLI::App program("Times the loader alone.");
  program.add_option("STORE", settings.store)->required();
  program.add_option("--context-length", settings.options.context_length);
  program.add_option("--global-batch-tokens", settings.options.global_batch_tokens);
  program.add_option("--microbatch-tokens", settings.options.microbatch_tokens);
  program.add_option("--ranks", settings.options.num_ranks, "this is rank 0 of so many");
  program.add_option("--seconds", settings.seconds);
  CLI11_PARSE(program, argc, argv);
  sequela::Run(settings);
  return 0;
}
