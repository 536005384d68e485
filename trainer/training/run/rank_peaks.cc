#include "trainer/training/run/rank_peaks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/base/int_math.h"
#include "trainer/training/memory_plan.h"
#include "trainer/training/resident_memory.h"

namespace sequela {
namespace {

std::vector<std::int64_t> OfAllRanks(Communicator& communicator, std::int64_t mine) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(communicator.size()), 0);
  all[static_cast<std::size_t>(communicator.rank())] = mine;
  communicator.AllReduceMax(all);
  return all;
}

}  // namespace

std::vector<std::int64_t> PlannedPeaks(const PreparedRun& prepared) {
  Communicator& communicator = prepared.communicator;
  const std::int64_t step_tokens =
      CeilDiv(prepared.experiment.data.global_batch_tokens, communicator.size());
  const bool restores = prepared.checkpoint || !prepared.options.init_from.empty();
  RunMemory run =
      PlanRunMemory(prepared.config, prepared.state_options, communicator, step_tokens, restores);
  MemoryPlan plan = PlanMemory(prepared.config, prepared.state_options, communicator.size());
  if (!prepared.device->is_host()) {  // the tensors lie elsewhere
    plan = {};
    run.huge_page_bytes = 0;
    run.library_bytes = kDeviceLibraryBytes;
  }
  return OfAllRanks(communicator, PeakBytes(plan, run));
}

std::vector<std::int64_t> SeenPeaks(Communicator& communicator) {
  return OfAllRanks(communicator, PeakResidentBytes());
}

std::string PeaksText(const std::vector<std::int64_t>& bytes) {
  const auto mebibytes = [](std::int64_t value) {
    return std::llround(static_cast<double>(value) / 0x1.0p20);
  };
  const auto [least, most] = std::ranges::minmax(bytes);
  if (mebibytes(least) == mebibytes(most)) return fmt::format("{} MiB", mebibytes(most));
  return fmt::format("{} to {} MiB", mebibytes(least), mebibytes(most));
}

}  // namespace sequela
