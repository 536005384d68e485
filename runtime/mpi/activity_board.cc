#include "runtime/mpi/activity_board.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <new>

namespace sequela {
namespace {

constexpr int kHostSize = 64;

double MonotonicSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <std::size_t kSize>
void CopyText(std::string_view text, char (&out)[kSize]) {
  const std::size_t size = std::min(text.size(), kSize - 1);
  std::memcpy(out, text.data(), size);
  out[size] = '\0';
}

template <std::size_t kSize>
std::string_view TextOf(const char (&text)[kSize]) {
  return {text, ::strnlen(text, kSize)};
}

int SizeOfGroup(MPI_Comm comm) {
  int size = 0;
  SEQUELA_MPI(MPI_Comm_size, comm, &size);
  return size;
}

// The world rank of each rank of `comm`.
std::vector<int> WorldRanks(MPI_Comm comm) {
  int mine = 0;
  SEQUELA_MPI(MPI_Comm_rank, MPI_COMM_WORLD, &mine);
  std::vector<int> ranks(static_cast<std::size_t>(SizeOfGroup(comm)));
  SEQUELA_MPI(MPI_Allgather, &mine, 1, MPI_INT, ranks.data(), 1, MPI_INT, comm);
  return ranks;
}

std::vector<std::string> HostNames() {
  std::array<char, kHostSize> mine{};
  ::gethostname(mine.data(), mine.size() - 1);
  std::vector<char> all(static_cast<std::size_t>(SizeOfGroup(MPI_COMM_WORLD)) * kHostSize);
  SEQUELA_MPI(MPI_Allgather, mine.data(), kHostSize, MPI_CHAR, all.data(), kHostSize, MPI_CHAR,
              MPI_COMM_WORLD);
  std::vector<std::string> hosts;
  for (std::size_t at = 0; at < all.size(); at += kHostSize) hosts.emplace_back(all.data() + at);
  return hosts;
}

}  // namespace

ActivityBoard::ActivityBoard(MPI_Comm machine)
    : slots_(static_cast<std::size_t>(SizeOfGroup(MPI_COMM_WORLD))), hosts_(HostNames()) {
  void* memory = nullptr;
  SEQUELA_MPI(MPI_Win_allocate_shared, sizeof(Slot), 1, MPI_INFO_NULL, machine,
              static_cast<void*>(&memory), &window_);
  mine_ = new (memory) Slot{};
  SetActivity(0, "start");
  int machine_rank = 0;
  for (const int world_rank : WorldRanks(machine)) {
    MPI_Aint bytes = 0;
    int unit = 0;
    void* slot = nullptr;
    SEQUELA_MPI(MPI_Win_shared_query, window_, machine_rank++, &bytes, &unit,
                static_cast<void*>(&slot));
    slots_[static_cast<std::size_t>(world_rank)] = static_cast<const Slot*>(slot);
  }
}

void ActivityBoard::Free() { SEQUELA_MPI(MPI_Win_free, &window_); }

void ActivityBoard::SetActivity(std::int64_t step, std::string_view doing) {
  mine_->step = step;
  mine_->since_seconds = MonotonicSeconds();
  CopyText(doing, mine_->doing);
}

void ActivityBoard::SetWaiting(std::string_view operation) { CopyText(operation, mine_->waiting); }

std::string ActivityBoard::Describe(int world_rank) const {
  const auto index = static_cast<std::size_t>(world_rank);
  const std::string name = fmt::format("rank {} on {}", world_rank, hosts_[index]);
  if (slots_[index] == nullptr) return name;
  const Slot& slot = *slots_[index];
  const std::string_view waiting = TextOf(slot.waiting);
  return fmt::format("{} ({} of step {} for {:.0f} s{}{})", name, TextOf(slot.doing), slot.step,
                     MonotonicSeconds() - slot.since_seconds,
                     waiting.empty() ? "" : ", waiting in ", waiting);
}

}  // namespace sequela
