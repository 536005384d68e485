#include "tests/fuzz/target.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "kernels/base/check.h"
#include "kernels/base/errors.h"

namespace sequela::testing {
namespace {

constexpr std::array<FuzzTarget, 7> kTargets = {{{"store_metadata", ReadStoreMetadata},
                                                 {"safetensors", ReadSafetensors},
                                                 {"model_config", ReadModelConfig},
                                                 {"experiment", ReadExperiment},
                                                 {"ingest_settings", ReadIngestSettings},
                                                 {"csv_mapping", ReadCsvMapping},
                                                 {"csv_text", ReadCsvText}}};

}  // namespace

std::span<const FuzzTarget> FuzzTargets() { return kTargets; }

const FuzzTarget* FindFuzzTarget(std::string_view name) {
  const auto* const found = std::ranges::find(kTargets, name, &FuzzTarget::name);
  return found == kTargets.end() ? nullptr : found;
}

void RunFuzzInput(const FuzzTarget& target, std::string_view input) {
  try {
    target.read(input);
  } catch (const InputError&) {  // refused: as good as accepted
  }
}

std::filesystem::path FileInMemory(std::string_view content) {
  static const int file = ::memfd_create("fuzz", MFD_CLOEXEC);
  SEQUELA_CHECK(file >= 0 && ::ftruncate(file, 0) == 0);
  const auto written = ::pwrite(file, content.data(), content.size(), 0);
  SEQUELA_CHECK(written == static_cast<ssize_t>(content.size()));
  return "/proc/self/fd/" + std::to_string(file);
}

}  // namespace sequela::testing
