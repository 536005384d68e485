// Who runs when: threads within a warp, warps within a block, blocks of a launch.
#pragma once

#include "tests/ptx/interpreter/machine.h"

namespace sequela::ptx {

enum class BarrierForm : std::uint8_t { kSync, kArrive, kReduce };

// Runs the warp until it has exited or waits at a barrier of the block (warp.barrier >= 0). Among
// its threads those at the lowest instruction go first, so that they meet again where branches
// join.
void RunWarp(Warp& warp);

// The warp has come to a barrier instruction with all its threads.
void ArriveAtBarrier(Warp& warp, const Instruction& in, std::uint32_t mask);
// Releases whom barriers hold that nobody else will come to, now that a warp has exited.
void BarriersAfterExit(Block& block);

}  // namespace sequela::ptx
