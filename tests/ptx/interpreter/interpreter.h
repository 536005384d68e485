// Runs, on the CPU, the PTX that nvcc emits from our own .cu files: the kernels that ship, inside
// the ordinary tests. What stands here is all that tests see of it. One thread at a time.
//
// Always checked: addresses and their alignment, reads of what nobody wrote, data races, `.aligned`
// instructions that only part of a warp reaches, barriers, deadlock. Agreement with a GPU is bit
// for bit except for
//   mma.sync       exact products, summed in fp32 in the order of k, rounded at each step
//   wgmma          likewise
//   .approx forms  the correctly rounded result
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "kernels/cuda/launch.h"

namespace sequela::ptx {

// Device memory: the host's own, at the same addresses. A kernel may touch registered memory alone.
// `initialised` false: a byte that is read before a kernel wrote it is a fault. Throws where it
// overlaps registered memory.
void RegisterMemory(void* begin, std::size_t bytes, bool initialised = true);
void UnregisterMemory(void* begin);

// Runs one launch to its end, the kernel's text from the build's PTX folders or from LoadText. A
// fault (an address outside every allocation, a race, a deadlock, a divergent .aligned instruction,
// ...) throws InternalError that names kernel, line of the PTX, block, thread and what was wrong;
// memory then holds what had been written so far.
void Run(const cuda::KernelLaunch& launch);

// Adds a module's text, whose kernels are found before those of the build. A kernel of the
// same name is replaced. The text is scanned for kernels here and parsed at their first launch.
void LoadText(std::string_view text, const std::string& name = "text");

// When the effect of cp.async and of wgmma.mma_async is seen. Poisoned until then where it is
// `kLatest`.
enum class Async {
  kEarliest,  // as it is issued
  kLatest,    // at the wait for it
  kBoth,      // the launch is run twice, and the results must be the same bits
};
struct Options {
  Async async = Async::kBoth;  // the environment's SEQUELA_PTX_ASYNC=earliest|latest|both
  std::uint64_t seed = 1;      // of the order in which warps run: SEQUELA_PTX_SEED
  bool races = true;           // false: no look-out for races, for measurements of speed
};
void SetOptions(const Options& options);
const Options& CurrentOptions();

// What a kernel did since the counts were last taken. Of a launch run twice, one run counts.
struct KernelCounts {
  std::int64_t launches = 0;
  std::int64_t instructions = 0;       // of warps
  std::int64_t lane_instructions = 0;  // of threads
  std::int64_t global_bytes_read = 0;  // asked for by threads, whatever a cache would serve
  std::int64_t global_bytes_written = 0;
  std::int64_t shared_accesses = 0;    // instructions of warps
  std::int64_t shared_wavefronts = 0;  // what the banks needed for them
  std::int64_t bank_conflicts = 0;     // wavefronts beyond the least for as many bytes
  std::int64_t matrix_products = 0;    // mma instructions of warps; wgmma: for each 8 columns
};
// By kernel; starts counting afresh.
std::map<std::string, KernelCounts> TakeCounts();

}  // namespace sequela::ptx
