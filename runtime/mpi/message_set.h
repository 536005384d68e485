// Messages under way with other ranks.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "runtime/mpi/mpi_check.h"

namespace sequela {

// Messages of one communicator and tag; between two ranks they arrive in the order of posting.
// Large ones are cut, because MPI's counts are int. One thread at a time.
class MessageSet {
 public:
  MessageSet(MPI_Comm comm, int tag) : comm_(comm), tag_(tag) {}

  void Send(std::span<const std::byte> bytes, int peer);
  void Receive(std::span<std::byte> bytes, int peer);
  // True when all are finished. Never waits.
  bool Test();
  // The ranks with which a message is still under way, ascending.
  std::vector<int> UnfinishedPeers() const;

 private:
  MPI_Comm comm_;
  int tag_;
  std::vector<MPI_Request> requests_;
  std::vector<int> peers_;  // of each request
};

}  // namespace sequela
