// What every rank of this machine is doing, in memory that they share: so that the message of a
// wait that failed can say what the missing rank was last seen at. Each rank writes its own slot
// and may read all; a text read while it is being written may be garbled, which is no harm in a
// last message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/mpi/mpi_check.h"

namespace sequela {

// One thread at a time.
class ActivityBoard {
 public:
  // Collective over MPI_COMM_WORLD; `machine` are the ranks that share this one's memory.
  explicit ActivityBoard(MPI_Comm machine);
  // Collective, before MPI_Finalize. Not in the destructor: a failing rank must not wait for the
  // others.
  void Free();

  void SetActivity(std::int64_t step, std::string_view doing);
  // The collective that this rank waits in; "" when it goes on.
  void SetWaiting(std::string_view operation);
  std::int64_t step() const { return mine_->step; }

  // "rank 3 on node7 (backward of step 12 for 61 s)".
  std::string Describe(int world_rank) const;

 private:
  struct Slot {
    std::int64_t step;
    double since_seconds;  // of the machine's monotonic clock
    char doing[48];
    char waiting[48];
  };

  MPI_Win window_ = MPI_WIN_NULL;
  Slot* mine_ = nullptr;
  std::vector<const Slot*> slots_;  // by world rank; null on another machine
  std::vector<std::string> hosts_;  // by world rank
};

}  // namespace sequela
