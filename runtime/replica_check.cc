#include "runtime/replica_check.h"

#include <cstring>
#include <vector>

#include "kernels/base/crc32c.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

// One for each piece: of what the model reads.
std::vector<std::uint32_t> ChecksumsOf(const FlatBuffers& buffers) {
  std::vector<std::uint32_t> checksums;
  for (int i = 0; i < buffers.table().num_pieces(); ++i) {
    const std::vector<std::byte> bytes = buffers.PieceBytes(i);
    checksums.push_back(ExtendCrc32c(0, bytes.data(), bytes.size()));
  }
  return checksums;
}

}  // namespace

void CheckReplicas(const FlatBuffers& buffers, Communicator& communicator, std::int64_t step) {
  if (communicator.size() == 1) return;
  const std::vector<std::uint32_t> mine = ChecksumsOf(buffers);
  const auto all = communicator.AllGather(std::as_bytes(std::span(mine)));
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const std::size_t at = i * sizeof(std::uint32_t);
      if (std::memcmp(&all[rank][at], &all[0][at], sizeof(std::uint32_t)) == 0) continue;
      throw MachineError(
          "after step {} rank {} holds another {} than rank 0: a memory or network is faulty. A "
          "checkpoint from before the last check that passed is safe to go on from",
          step, rank, buffers.table().piece(static_cast<int>(i)).name);
    }
  }
}

}  // namespace sequela
