// What training holds in memory on one rank, known before anything is allocated. What the process
// really holds is resident_memory.h's; run/rank_peaks.h has both of every rank.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/communicator.h"
#include "trainer/training/train_state.h"

namespace sequela {

// Bytes that training allocates on one rank.
struct MemoryPlan {
  std::int64_t parameters = 0;       // elements, tied ones once
  std::int64_t weight_bytes = 0;     // compute dtype, and fp32 copies of vectors
  std::int64_t gradient_bytes = 0;   // of a whole microbatch; ZeRO 2: and this rank's share of sums
  std::int64_t optimizer_bytes = 0;  // this rank's share of m, v and the fp32 master
  std::int64_t activation_bytes = 0;  // the arena: activations and the operations' workspace
  std::int64_t total_bytes() const {
    return weight_bytes + gradient_bytes + optimizer_bytes + activation_bytes;
  }
  std::string ToString() const;  // one line for people
};
MemoryPlan PlanMemory(const ModelConfig& config, const TrainStateOptions& options, int world_size,
                      const Device& device = HostDevice());

// What libraries take once they work: matrix kernels that oneDNN compiles, threads' stacks and
// allocation areas, MPI's fragments and sockets. Seen: 5 to 16 MiB.
inline constexpr std::int64_t kLibraryBytes = std::int64_t{10} << 20;

// The same of the host where tensors lie on a GPU: kernels that the driver and cuBLASLt load when
// they are first called, and their pinned memory. Seen, of one model: 140 MiB in fp32, 190 MiB in
// bf16.
inline constexpr std::int64_t kDeviceLibraryBytes = std::int64_t{170} << 20;

// What comes on top of MemoryPlan while a run goes on, on this rank.
struct RunMemory {
  std::int64_t held_bytes = 0;       // by the process before training: program, libraries, store
  std::int64_t snapshot_bytes = 0;   // this rank's copy for checkpoints
  std::int64_t transfer_bytes = 0;   // pieces of sums received from other ranks
  std::int64_t loader_bytes = 0;     // batches prepared ahead
  std::int64_t restore_bytes = 0;    // files mapped while weights are read: gone when steps begin
  std::int64_t huge_page_bytes = 0;  // what whole huge pages add to the buffers
  std::int64_t library_bytes = kLibraryBytes;
};
RunMemory PlanRunMemory(const ModelConfig& config, const TrainStateOptions& options,
                        const Communicator& communicator, std::int64_t step_tokens_of_rank,
                        bool restores);

// The most that the process will have held at once: what VmHWM says at the end of a run.
std::int64_t PeakBytes(const MemoryPlan& plan, const RunMemory& run);

}  // namespace sequela
