// Products of a warpgroup (wgmma.mma_async): those on their way, and what may not be touched until
// they are over. Each warp of the four does its part by itself: 16 rows of the result.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "tests/ptx/interpreter/program.h"

namespace sequela::ptx {

inline constexpr std::uint32_t kWarpsOfGroup = 4;

struct Block;

// A product that a warp has issued and not waited for.
struct PendingProduct {
  const Instruction* in = nullptr;
  std::uint32_t group = 0;  // commit groups the warp had when it issued this
  std::uint32_t step = 0;   // its clock then
  std::uint64_t a = 0;      // descriptors
  std::uint64_t b = 0;
  bool adds = false;  // to what D holds
};

// A register of a warp as its products see it.
struct RegisterUse {
  std::uint64_t product = 0;  // the last one that uses it, counted from 1
  const Instruction* in = nullptr;
  bool accumulates = false;   // D, not A
  std::size_t place = 0;      // in D
  std::uint32_t read = 0;     // by others, since the warp's so many-th wgmma.fence; from 1
  std::uint32_t written = 0;  // likewise
};

struct WarpProducts {
  std::deque<PendingProduct> pending;
  std::uint64_t finished = 0;
  std::uint32_t groups = 0;  // committed
  std::uint32_t fences = 1;  // wgmma.fence, and 1
  std::size_t steps = 0;     // wgmma instructions executed
  std::vector<RegisterUse> registers;
};

// What the warps of a warpgroup execute in the same order.
struct WarpgroupStep {
  const Instruction* in = nullptr;
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  bool adds = false;
  bool operator==(const WarpgroupStep&) const = default;
};

void StartProducts(Warp& warp);
// The warp executes an ordinary instruction, which may not touch what its products use.
void TouchRegisters(Warp& warp, const Instruction& in, std::uint32_t mask);
// All threads of the warp have exited.
void CheckProductsOver(const Warp& warp);
// All warps have.
void CheckWarpgroups(const Block& block);

}  // namespace sequela::ptx
