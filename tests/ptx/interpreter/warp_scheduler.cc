#include <algorithm>

#include "tests/ptx/interpreter/scheduler.h"

namespace sequela::ptx {
namespace {

std::uint32_t FirstLane(std::uint32_t mask) {
  return static_cast<std::uint32_t>(__builtin_ctz(mask));
}

// Threads at the same instruction are one group; whoever waited may now go on.
void Regroup(std::vector<Group>& groups) {
  std::sort(groups.begin(), groups.end(),
            [](const Group& a, const Group& b) { return a.pc < b.pc; });
  std::size_t kept = 0;
  for (std::size_t i = 1; i < groups.size(); ++i) {
    if (groups[i].pc != groups[kept].pc) {
      groups[++kept] = groups[i];
      continue;
    }
    groups[kept].mask |= groups[i].mask;
    groups[kept].waits = false;
  }
  groups.resize(std::min(groups.size(), kept + 1));
}

void CheckWritten(Warp& warp, const Instruction& in, std::uint32_t mask) {
  for (std::size_t i = 0; i < in.num_src; ++i) {
    const std::uint32_t missing = mask & ~warp.written[in.src[i]];
    if (missing != 0) [[unlikely]] {
      Fault(warp, FirstLane(missing), fmt::format("operand {} was never written", i + 1));
    }
  }
}

void MarkWritten(Warp& warp, const Instruction& in, std::uint32_t mask) {
  for (std::size_t i = 0; i < in.num_dst; ++i) warp.written[in.dst[i]] |= mask;
}

// A move hands on whether its source was written.
void Move(Warp& warp, const Instruction& in, std::uint32_t mask) {
  std::uint32_t known = mask;
  for (std::size_t i = 0; i < in.num_src; ++i) known &= warp.written[in.src[i]];
  in.run(warp, in, mask);
  for (std::size_t i = 0; i < in.num_dst; ++i) {
    warp.written[in.dst[i]] = (warp.written[in.dst[i]] & ~mask) | known;
  }
}

enum class Outcome { kNext, kWait, kGone };

// shfl.sync and the like: each set of threads that names the same members, once all of it is there.
Outcome RunMembers(Warp& warp, const Instruction& in, std::uint32_t mask) {
  const auto* members = warp.Lanes<std::uint32_t>(in.src[in.num_src - 1]);
  for (std::uint32_t left = mask; left != 0; left &= left - 1) {
    const std::uint32_t lane = FirstLane(left);
    if ((members[lane] >> lane & 1U) == 0) {
      Fault(warp, lane, fmt::format("is not in its own mask of members {:#x}", members[lane]));
    }
    if ((members[lane] & warp.live & ~mask) != 0) return Outcome::kWait;
  }
  for (std::uint32_t left = mask; left != 0;) {
    const std::uint32_t set = members[FirstLane(left)] & mask;
    for (std::uint32_t rest = set; rest != 0; rest &= rest - 1) {
      if ((members[FirstLane(rest)] & mask) != set) {
        Fault(warp, FirstLane(rest), "threads disagree about the mask of members");
      }
    }
    in.run(warp, in, set);
    left &= ~set;
  }
  return Outcome::kNext;
}

// The instruction for the threads of `mask`, which is not empty.
Outcome Execute(Warp& warp, const Instruction& in, std::uint32_t mask) {
  if (!warp.program->products.empty()) TouchRegisters(warp, in, mask);
  if (in.moves) {
    Move(warp, in, mask);
    return Outcome::kNext;
  }
  CheckWritten(warp, in, mask);
  switch (in.control) {
    case Control::kWholeWarp:
      if (mask != kFullMask) return Outcome::kWait;
      break;
    case Control::kBarrier:
      if (mask != warp.live) return Outcome::kWait;
      MarkWritten(warp, in, mask);
      ArriveAtBarrier(warp, in, mask);
      return Outcome::kNext;
    case Control::kMembers:
      if (RunMembers(warp, in, mask) == Outcome::kWait) return Outcome::kWait;
      MarkWritten(warp, in, mask);
      return Outcome::kNext;
    default:
      break;
  }
  in.run(warp, in, mask);
  MarkWritten(warp, in, mask);
  return Outcome::kNext;
}

// The threads of `mask` leave the group for where they branch to.
void Branch(Warp& warp, const Instruction& in, Group& group, std::uint32_t mask) {
  if (in.control == Control::kBranch) {
    const std::uint32_t rest = group.mask & ~mask;
    if (rest != 0) warp.groups.push_back({.pc = group.pc + 1, .mask = rest});
    group.mask = mask;
    group.pc = in.target;
    return;
  }
  CheckWritten(warp, in, mask);
  const std::vector<std::uint32_t>& table = warp.program->tables[in.target];
  const auto* index = warp.Lanes<std::uint32_t>(in.src[0]);
  for (std::uint32_t left = mask; left != 0; left &= left - 1) {
    const std::uint32_t lane = FirstLane(left);
    if (index[lane] >= table.size()) Fault(warp, lane, "an index beyond the table");
    warp.groups.push_back({.pc = table[index[lane]], .mask = 1U << lane});
  }
  group.mask &= ~mask;
  ++group.pc;
}

std::uint32_t GuardedMask(Warp& warp, const Instruction& in, std::uint32_t mask) {
  if (in.guard == Instruction::kNone) return mask;
  const std::uint32_t missing = mask & ~warp.written[in.guard];
  if (missing != 0) Fault(warp, FirstLane(missing), "the predicate was never written");
  const std::uint32_t holds = warp.Predicate(in.guard);
  return mask & (in.guard_negated ? ~holds : holds);
}

// Threads that exit may not be what others of their warp, at shfl.sync or the like, wait for.
void CheckNobodyWaits(Warp& warp, std::uint32_t exiting) {
  for (const Group& other : warp.groups) {
    const Instruction& in = warp.program->code[other.pc];
    if (!other.waits || in.control != Control::kMembers) continue;
    const std::uint32_t lane = FirstLane(other.mask);
    const std::uint32_t missed = warp.Lanes<std::uint32_t>(in.src[in.num_src - 1])[lane] & exiting;
    if (missed == 0) continue;
    warp.current = &in;
    Fault(warp, lane, fmt::format("waits for threads {:#x} of the warp, which exit", missed));
  }
}

// One instruction for a group; says whether the group is still as it was but for its pc.
Outcome Step(Warp& warp, Group& group) {
  const Instruction& in = warp.program->code[group.pc];
  warp.current = &in;
  const std::uint32_t mask = GuardedMask(warp, in, group.mask);
  KernelCounts& counts = warp.block->launch.counts;
  ++counts.instructions;
  counts.lane_instructions += __builtin_popcount(mask);
  if (mask == 0) {
    ++group.pc;
    return Outcome::kNext;
  }
  if (in.control == Control::kBranch || in.control == Control::kIndexedBranch) {
    const bool together = in.control == Control::kBranch && mask == group.mask;
    Branch(warp, in, group, mask);
    return together ? Outcome::kNext : Outcome::kGone;
  }
  if (in.control == Control::kExit) {
    CheckNobodyWaits(warp, mask);
    warp.live &= ~mask;
    group.mask &= ~mask;
    ++group.pc;
    for (Group& other : warp.groups) other.waits = false;
    return Outcome::kGone;
  }
  const Outcome outcome = Execute(warp, in, mask);
  if (outcome == Outcome::kNext) ++group.pc;
  return outcome;
}

// Must the group, which was the lowest, let the others be looked at?
bool MeetsOthers(const std::vector<Group>& others, const Group& group) {
  return std::any_of(others.begin(), others.end(), [&](const Group& other) {
    return other.pc == group.pc || (!other.waits && other.pc < group.pc);
  });
}

}  // namespace

void RunWarp(Warp& warp) {
  std::vector<Group>& groups = warp.groups;
  while (!groups.empty() && warp.barrier < 0) {
    const auto next =
        std::find_if(groups.begin(), groups.end(), [](const Group& group) { return !group.waits; });
    if (next == groups.end()) {
      warp.current = &warp.program->code[groups.front().pc];
      Fault(warp, FirstLane(groups.front().mask),
            fmt::format("only threads {:#x} of the warp come here; {:#x} have not exited",
                        groups.front().mask, warp.live));
    }
    Group group = *next;
    groups.erase(next);
    Outcome outcome = Outcome::kNext;
    while (outcome == Outcome::kNext && warp.barrier < 0) {
      outcome = Step(warp, group);
      if (!groups.empty() && MeetsOthers(groups, group)) break;
    }
    group.waits = outcome == Outcome::kWait;
    if (group.mask != 0) groups.push_back(group);
    Regroup(groups);
  }
}

}  // namespace sequela::ptx
