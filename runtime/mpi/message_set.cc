#include "runtime/mpi/message_set.h"

#include <algorithm>

namespace sequela {
namespace {

constexpr std::size_t kMaxMessageBytes = std::size_t{1} << 30;

}  // namespace

void MessageSet::Send(std::span<const std::byte> bytes, int peer) {
  while (!bytes.empty()) {
    const std::size_t size = std::min(bytes.size(), kMaxMessageBytes);
    SEQUELA_MPI(MPI_Isend, bytes.data(), static_cast<int>(size), MPI_BYTE, peer, tag_, comm_,
                &requests_.emplace_back());
    peers_.push_back(peer);
    bytes = bytes.subspan(size);
  }
}

void MessageSet::Receive(std::span<std::byte> bytes, int peer) {
  while (!bytes.empty()) {
    const std::size_t size = std::min(bytes.size(), kMaxMessageBytes);
    SEQUELA_MPI(MPI_Irecv, bytes.data(), static_cast<int>(size), MPI_BYTE, peer, tag_, comm_,
                &requests_.emplace_back());
    peers_.push_back(peer);
    bytes = bytes.subspan(size);
  }
}

bool MessageSet::Test() {
  int all_done = 0;
  SEQUELA_MPI(MPI_Testall, static_cast<int>(requests_.size()), requests_.data(), &all_done,
              MPI_STATUSES_IGNORE);
  return all_done != 0;
}

std::vector<int> MessageSet::UnfinishedPeers() const {
  std::vector<int> unfinished;
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    int done = 1;
    SEQUELA_MPI(MPI_Request_get_status, requests_[i], &done, MPI_STATUS_IGNORE);
    if (done == 0) unfinished.push_back(peers_[i]);
  }
  std::sort(unfinished.begin(), unfinished.end());
  unfinished.erase(std::unique(unfinished.begin(), unfinished.end()), unfinished.end());
  return unfinished;
}

}  // namespace sequela
