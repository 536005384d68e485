#include "runtime/nccl/nccl_tensors.h"

#include <utility>

#include "kernels/base/errors.h"
#include "runtime/nccl/nccl_communicator.h"

namespace sequela {

std::unique_ptr<Communicator> MakeNcclTensors(ActivityBoard& board,
                                              std::unique_ptr<Communicator> host, int device_index,
                                              void* compute_stream) {
  NcclApi* const nccl = ChosenNcclApi();
  if (nccl == nullptr) {
    throw InputError(
        "{} ranks were started, but this build has no NCCL and trains on one GPU at most. Start "
        "one rank, use parallel.device: cpu, or build where nccl.h and libnccl are found",
        host->size());
  }
  return std::make_unique<NcclCommunicator>(NcclPlace{.api = *nccl,
                                                      .board = board,
                                                      .device_index = device_index,
                                                      .compute_stream = compute_stream},
                                            std::move(host), "tensors");
}

}  // namespace sequela
