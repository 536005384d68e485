#include "tests/ptx/interpreter/interpreter.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "kernels/base/check.h"
#include "tests/ptx/interpreter/machine.h"
#include "tests/ptx/interpreter/module.h"

namespace sequela::ptx {
namespace {

Options FromEnvironment() {
  Options options;
  const char* async = std::getenv("SEQUELA_PTX_ASYNC");
  const std::string moment = async == nullptr ? "both" : async;
  SEQUELA_CHECK(moment == "earliest" || moment == "latest" || moment == "both",
                "SEQUELA_PTX_ASYNC={} is neither earliest nor latest nor both", moment);
  options.async = moment == "earliest" ? Async::kEarliest
                  : moment == "latest" ? Async::kLatest
                                       : Async::kBoth;
  const char* seed = std::getenv("SEQUELA_PTX_SEED");
  if (seed != nullptr) options.seed = std::strtoull(seed, nullptr, 10);
  return options;
}

Options& TheOptions() {
  static Options options = FromEnvironment();
  return options;
}

std::map<std::string, KernelCounts>& TheCounts() {
  static std::map<std::string, KernelCounts> counts;
  return counts;
}

void AddTo(KernelCounts& total, const KernelCounts& counts) {
  ++total.launches;
  for (const auto member : {&KernelCounts::instructions, &KernelCounts::lane_instructions,
                            &KernelCounts::global_bytes_read, &KernelCounts::global_bytes_written,
                            &KernelCounts::shared_accesses, &KernelCounts::shared_wavefronts,
                            &KernelCounts::bank_conflicts, &KernelCounts::matrix_products}) {
    total.*member += counts.*member;
  }
}

// A page that a launch wrote: what it left there.
struct Result {
  Region* region;
  std::size_t begin;
  std::vector<std::byte> bytes;
};

// Where a kept page begins in its region.
std::size_t PageBegin(const Region& region, std::size_t index) {
  const std::size_t lead = region.PageOffset(0);
  return index * kPageBytes < lead ? 0 : index * kPageBytes - lead;
}

// Puts back what the launch found and hands out what it left.
std::vector<Result> Undo(Launch& launch) {
  std::vector<Result> results;
  for (const auto& [region, index] : launch.kept) {
    Page& page = region->pages[index];
    const std::size_t begin = PageBegin(*region, index);
    std::byte* memory = region->begin + begin;
    results.push_back({region, begin, {memory, memory + page.original.size()}});
    std::memcpy(memory, page.original.data(), page.original.size());
    if (!page.original_valid.empty()) {
      std::memcpy(region->valid.data() + begin, page.original_valid.data(),
                  page.original_valid.size());
    }
  }
  launch.kept.clear();
  return results;
}

void CompareWith(const std::vector<Result>& results, const std::string& kernel) {
  for (const Result& result : results) {
    const std::byte* memory = result.region->begin + result.begin;
    for (std::size_t i = 0; i < result.bytes.size(); ++i) {
      SEQUELA_CHECK(memory[i] == result.bytes[i],
                    "kernel {}: the byte at {} depends on when cp.async or wgmma is done", kernel,
                    static_cast<const void*>(memory + i));
    }
  }
}

}  // namespace

void RegisterMemory(void* begin, std::size_t bytes, bool initialised) {
  Memory().Add(begin, bytes, initialised);
}
void UnregisterMemory(void* begin) { Memory().Remove(begin); }
void LoadText(std::string_view text, const std::string& name) { AddModule(text, name); }
void SetOptions(const Options& options) { TheOptions() = options; }
const Options& CurrentOptions() { return TheOptions(); }

std::map<std::string, KernelCounts> TakeCounts() { return std::exchange(TheCounts(), {}); }

void Run(const cuda::KernelLaunch& arguments) {
  const Program& program = FindProgram(arguments.name);
  SEQUELA_CHECK(program.parameter_bytes == arguments.parameters_bytes,
                "kernel {}: {} bytes of parameters are given, {} declared", arguments.name,
                arguments.parameters_bytes, program.parameter_bytes);
  const Options& options = TheOptions();
  std::vector<std::byte> parameters(program.parameter_bytes);
  if (!parameters.empty()) {
    std::memcpy(parameters.data(), arguments.parameters, parameters.size());
  }
  const auto run = [&](bool latest, bool keep) {
    Launch launch{.program = program,
                  .arguments = arguments,
                  .latest = latest,
                  .races = options.races,
                  .keep = keep,
                  .random = std::mt19937_64(options.seed),
                  .parameters = Region(parameters.data(), parameters.size(), true)};
    launch.parameters.read_only = true;
    RunLaunch(launch);
    if (!keep) AddTo(TheCounts()[arguments.name], launch.counts);
    return Undo(launch);
  };
  if (program.has_async && options.async == Async::kBoth) {
    const std::vector<Result> earliest = run(false, true);
    run(true, false);
    CompareWith(earliest, arguments.name);
  } else {
    run(options.async != Async::kEarliest, false);
  }
}

}  // namespace sequela::ptx
