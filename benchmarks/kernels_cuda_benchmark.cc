// The operations of the CUDA backend through their public interfaces, timed by the GPU's own events
// after a warm-up: one line of JSON a case, with the milliseconds of every repeat, the useful FLOPs
// or the bytes that must be moved, and the workspace. benchmarks/gpu_suite.sh runs it and makes
// tables of it; alone:
//
//   kernels_cuda_benchmark --groups attention --documents mix:500,120,3000 --documents 2k:2048x8
//   kernels_cuda_benchmark --groups memory --filter rms_norm
//
// --once runs each case a single time after one warm-up, for a profiler to look at. --device cpu
// --tiny rehearses the program where there is no GPU.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>

#include "benchmarks/kernels_cuda/bench.h"

namespace sequela::benchmarks {
namespace {

// Small arguments take turns until so many bytes lie between two uses of the same.
constexpr std::int64_t kBytesBetween = std::int64_t{512} << 20;
constexpr std::size_t kMostTurns = 4;

struct Settings {
  std::string device = "cuda";
  std::vector<std::string> groups = {"rate", "attention", "cross_entropy", "memory"};
  std::vector<std::string> documents = {"uniform2k:2048x8"};
  std::string filter;
  std::int64_t channels = 2048;
  int repeats = 20;
  bool tiny = false;
  bool once = false;
  bool list = false;
};

// "mix:100,200,300" or "uniform512:512x32".
Documents ParseDocuments(const std::string& text) {
  Documents documents;
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) throw CLI::ValidationError("--documents", "NAME:LENGTHS");
  documents.name = text.substr(0, colon);
  for (const std::string& word : CLI::detail::split(text.substr(colon + 1), ',')) {
    const std::size_t times = word.find('x');
    const int count = times == std::string::npos ? 1 : std::stoi(word.substr(times + 1));
    documents.lengths.insert(documents.lengths.end(), static_cast<std::size_t>(count),
                             std::stoi(word.substr(0, times)));
  }
  return documents;
}

std::vector<Case> CasesOf(const Settings& settings, const std::string& group) {
  if (group == "rate") return RateCases();
  if (group == "cross_entropy") return CrossEntropyCases();
  if (group == "memory") return MemoryCases(settings.tiny);
  std::vector<Documents> mixes;
  for (const std::string& text : settings.documents) mixes.push_back(ParseDocuments(text));
  return AttentionCases(mixes, settings.channels);
}

std::vector<Case> ChosenCases(const Settings& settings) {
  std::vector<Case> chosen;
  for (const std::string& group : settings.groups) {
    for (Case& what : CasesOf(settings, group)) {
      if (what.name.find(settings.filter) != std::string::npos) chosen.push_back(std::move(what));
    }
  }
  return chosen;
}

// The same arguments once or, where they are small, several times.
std::vector<Prepared> TurnsOf(Bench& bench, const Settings& settings, const Case& what) {
  std::vector<Prepared> turns;
  std::int64_t bytes = 0;
  while (turns.empty() ||
         (!settings.once && !bench.tiny() && bytes < kBytesBetween && turns.size() < kMostTurns)) {
    bench.TakeAllocatedBytes();
    turns.push_back(what.prepare(bench));
    bytes += bench.TakeAllocatedBytes();
  }
  return turns;
}

nlohmann::ordered_json Answer(const Case& what, const Prepared& prepared,
                              const std::vector<double>& times) {
  std::vector<double> sorted = times;
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[sorted.size() / 2];
  return {{"case", what.name},
          {"median_ms", median},
          {"min_ms", sorted.front()},
          {"max_ms", sorted.back()},
          {"flops", prepared.flops},
          {"bytes", prepared.bytes},
          {"workspace_bytes", prepared.workspace_bytes},
          {"rate", (prepared.flops > 0.0 ? prepared.flops : prepared.bytes) / (median * 1e-3)},
          {"milliseconds", times}};
}

// Of cases that are measured together.
std::vector<nlohmann::ordered_json> Measure(Bench& bench, const Settings& settings,
                                            std::span<const Case> cases) {
  std::vector<std::vector<Prepared>> turns;
  for (const Case& what : cases) turns.push_back(TurnsOf(bench, settings, what));
  const auto times = bench.Time(turns, settings.once ? 1 : settings.repeats);
  std::vector<nlohmann::ordered_json> answers;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    answers.push_back(Answer(cases[i], turns[i].front(), times[i]));
  }
  return answers;
}

void Run(Device& device, const Settings& settings) {
  Bench bench(device, settings.tiny);
  const std::vector<Case> cases = ChosenCases(settings);
  for (std::size_t begin = 0, end = 0; begin < cases.size(); begin = end) {
    const bool two = begin + 1 < cases.size() && cases[begin + 1].beside == cases[begin].name;
    end = begin + (two ? 2 : 1);
    const auto together = std::span(cases).subspan(begin, end - begin);
    std::vector<nlohmann::ordered_json> answers;
    try {
      answers = Measure(bench, settings, together);
    } catch (const std::exception& error) {  // their fault must not cost the others' figures
      for (const Case& what : together) {
        answers.push_back({{"case", what.name}, {"error", error.what()}});
      }
    }
    for (const auto& answer : answers) fmt::print("{}\n", answer.dump());
    std::fflush(stdout);
  }
}

int Main(int argc, char** argv) {
  Settings settings;
  CLI::App program("Times the operations of the CUDA backend.");
  program.add_option("--device", settings.device)->check(CLI::IsMember({"cuda", "cpu"}));
  program.add_option("--groups", settings.groups, "of rate, attention, cross_entropy, memory")
      ->delimiter(',')
      ->check(CLI::IsMember({"rate", "attention", "cross_entropy", "memory"}));
  program
      .add_option("--documents", settings.documents,
                  "NAME:LENGTHS for attention; a length LxN is N documents")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  program.add_option("--filter", settings.filter, "cases whose name contains this");
  program.add_option("--channels", settings.channels, "of attention's heads together");
  program.add_option("--repeats", settings.repeats)->check(CLI::PositiveNumber);
  program.add_flag("--tiny", settings.tiny);
  program.add_flag("--once", settings.once);
  program.add_flag("--list", settings.list, "print the cases' names, and end");
  CLI11_PARSE(program, argc, argv);
  if (settings.list) {
    for (const Case& what : ChosenCases(settings)) fmt::print("{}\n", what.name);
    return 0;
  }
  if (settings.device == "cpu") {
    Run(HostDevice(), settings);
  } else {
    Run(*MakeCudaDevice(0), settings);
  }
  return 0;
}

}  // namespace
}  // namespace sequela::benchmarks

int main(int argc, char** argv) {
  try {
    return sequela::benchmarks::Main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "kernels_cuda_benchmark: {}\n", error.what());
    return 2;
  }
}
