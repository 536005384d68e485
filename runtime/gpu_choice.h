// Which GPU each rank takes, decided from what all ranks see, so that all of them decide alike: also
// where a launcher shows each rank one GPU of its own (CUDA_VISIBLE_DEVICES, srun --gpus-per-task).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/world.h"

namespace sequela {

// What a rank sees.
struct RankGpus {
  std::string host;
  int local_rank = 0;  // among the ranks of its machine
  std::vector<std::string>
      ids;  // of its GPUs, by index; the same GPU has the same id for all ranks
};

struct GpuChoice {
  std::vector<int>
      indices;           // by rank, among the GPUs that it sees; empty where ranks have to share
                         // one or see none
  std::string obstacle;  // then: what is in the way, in words; "" where no rank sees any
};

// A rank takes the GPU of its local rank, where another has that or there is none of this index the
// first that is free.
GpuChoice ChooseGpus(std::span<const RankGpus> ranks);

// The same for this job. Collective.
GpuChoice ChooseGpus(World& world);

}  // namespace sequela
