// Nonblocking collectives made of point-to-point messages, as small state machines: who sends what
// to whom is ours, so that sums have a fixed order and a wait that fails knows whom it waited for.
// Every rank exchanges with every other directly: the bytes are those of a ring, the steps are one
// or two. (A ring saves messages beyond some hundred ranks; those have GPUs and NCCL.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/mpi/mpi_check.h"

namespace sequela {

struct TransferPlace {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  int first_tag = 0;  // the transfer uses first_tag and first_tag + 1
};

// One collective. Start posts its first messages; Advance moves on and is true once it is finished
// (it is not called again then). Buffers are borrowed until then. One thread at a time.
class Transfer {
 public:
  Transfer(std::string_view name, const TransferPlace& place) : name_(name), place_(place) {}
  virtual ~Transfer() = default;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  virtual void Start() = 0;
  virtual bool Advance() = 0;
  virtual std::vector<int> UnfinishedPeers() const = 0;

  std::string_view name() const { return name_; }

 protected:
  std::string_view name_;  // a literal
  TransferPlace place_;
};

// `offsets` in elements: place.size + 1 entries.
std::unique_ptr<Transfer> MakeReduceScatter(const TransferPlace& place, std::span<float> values,
                                            std::vector<std::int64_t> offsets);
std::unique_ptr<Transfer> MakeAllReduce(const TransferPlace& place, std::span<float> values);
// `name` is a literal: "all-gather", "barrier".
std::unique_ptr<Transfer> MakeAllGather(std::string_view name, const TransferPlace& place,
                                        std::span<std::byte> bytes,
                                        std::vector<std::int64_t> offsets);
std::unique_ptr<Transfer> MakeBroadcast(const TransferPlace& place, std::span<std::byte> bytes,
                                        int root);
// Nobody is through before all have come.
std::unique_ptr<Transfer> MakeBarrier(const TransferPlace& place);

}  // namespace sequela
