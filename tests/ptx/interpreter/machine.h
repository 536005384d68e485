// The state of a launch while it runs: warps with their registers, a block with its shared memory.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/ptx/interpreter/async_proxy.h"
#include "tests/ptx/interpreter/interpreter.h"
#include "tests/ptx/interpreter/memory.h"
#include "tests/ptx/interpreter/program.h"
#include "tests/ptx/interpreter/races.h"
#include "tests/ptx/interpreter/warpgroup.h"

namespace sequela::ptx {

inline constexpr std::uint32_t kLanes = 32;
inline constexpr std::uint32_t kFullMask = 0xffffffffU;
inline constexpr std::size_t kSlotBytes = 256;  // 32 lanes of up to 64 bits

// Threads of a warp at the same instruction.
struct Group {
  std::uint32_t pc = 0;
  std::uint32_t mask = 0;
  bool waits = false;  // for other threads of the warp
};

// A cp.async that has not landed.
struct PendingCopy {
  std::uint32_t lane = 0;
  std::uint32_t group = 0;         // commit groups the thread had when it issued this
  std::uint64_t to = 0;            // in shared memory
  std::uint64_t from = 0;          // global
  std::uint32_t bytes = 0;         // written
  std::uint32_t source_bytes = 0;  // read; zeros follow
};

struct Block;

template <typename T>
struct LaneOf {
  typedef T Type __attribute__((may_alias));
};

struct Warp {
  Block* block = nullptr;
  const Program* program = nullptr;
  std::uint32_t index = 0;
  std::uint32_t live = 0;  // threads that have not exited
  std::vector<std::byte> registers;
  std::vector<std::uint32_t> written;  // by slot: threads that have written it
  std::vector<Group> groups;           // by rising pc
  const Instruction* current = nullptr;
  int barrier = -1;  // that it waits for
  std::vector<std::byte> local;
  std::vector<std::uint8_t> local_valid;
  std::vector<PendingCopy> pending;
  std::array<std::uint32_t, kLanes> commit_groups{};
  WarpProducts products;

  // A register's lanes, read as whatever the instruction takes them for.
  template <typename T>
  typename LaneOf<T>::Type* Lanes(Slot slot) {
    return reinterpret_cast<typename LaneOf<T>::Type*>(registers.data() + slot * kSlotBytes);
  }
  std::uint32_t& Predicate(Slot slot) { return *Lanes<std::uint32_t>(slot); }
};

struct Barrier {
  std::uint32_t arrived = 0;   // warps
  std::uint32_t waiting = 0;   // of those, the ones to be released
  std::uint32_t expected = 0;  // threads; 0: all of the block
  std::uint32_t count = 0;     // bar.red: threads whose predicate holds
  std::uint32_t voters = 0;
};

struct Launch {
  const Program& program;
  const cuda::KernelLaunch& arguments;
  bool latest = true;  // when cp.async lands and products are computed
  bool races = true;
  bool keep = false;  // what stood in memory before
  Clocks clocks;
  Races global_races{clocks};
  KernelCounts counts;
  std::mt19937_64 random;
  Region parameters;
  std::vector<std::pair<Region*, std::size_t>> kept;    // pages
  std::map<std::uint64_t, std::vector<bool>> released;  // blocks, by the atomic's address
};

struct Block {
  Launch& launch;
  std::array<std::uint32_t, 3> index{};
  std::uint32_t threads = 0;
  std::vector<std::byte> shared_memory;
  Region shared;
  Races shared_races;
  std::vector<Warp> warps;
  std::array<Barrier, 16> barriers{};
  bool fenced = false;  // a membar or fence stands after the last write
  AsyncProxy proxy;     // of kernels with warpgroup products
  std::vector<std::vector<WarpgroupStep>> warpgroup_steps;
};

template <typename F>
inline void ForLanes(std::uint32_t mask, F&& f) {
  if (mask == kFullMask) {
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) f(lane);
    return;
  }
  for (; mask != 0; mask &= mask - 1) f(static_cast<std::uint32_t>(__builtin_ctz(mask)));
}

// Throws InternalError with kernel, line, block and thread (of the warp, where `lane` is none).
[[noreturn]] void Fault(const Warp& warp, std::uint32_t lane, const std::string& what);
// Text of a line of a module, without blanks around.
std::string_view LineOf(std::string_view text, int line);

// Runs a launch once; counts and kept pages are in it afterwards.
void RunLaunch(Launch& launch);

}  // namespace sequela::ptx
