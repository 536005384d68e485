#include <algorithm>
#include <atomic>

#include "kernels/base/check.h"
#include "tests/ptx/interpreter/scheduler.h"

namespace sequela::ptx {
namespace {

std::uint64_t NextStamp() {
  static std::uint64_t stamp = 0;
  return ++stamp;
}

std::uint32_t ThreadsOf(std::uint32_t warps) {
  return kLanes * static_cast<std::uint32_t>(__builtin_popcount(warps));
}

// Every warp that has not exited, as a mask.
std::uint32_t LiveWarps(const Block& block) {
  std::uint32_t live = 0;
  for (const Warp& warp : block.warps) {
    if (warp.live != 0) live |= 1U << warp.index;
  }
  return live;
}

// What bar.red gives each thread: in.vector 0 a count, 1 and, 2 or.
void WriteReduction(Warp& warp, const Barrier& barrier) {
  const Instruction& in = *warp.current;
  if (in.control != Control::kBarrier ||
      in.form != static_cast<std::uint8_t>(BarrierForm::kReduce)) {
    return;
  }
  if (in.vector == 0) {
    auto* d = warp.Lanes<std::uint32_t>(in.dst[0]);
    ForLanes(warp.live, [&](std::uint32_t lane) { d[lane] = barrier.count; });
    return;
  }
  const bool holds = in.vector == 1 ? barrier.count == barrier.voters : barrier.count > 0;
  warp.Predicate(in.dst[0]) = holds ? kFullMask : 0;
}

void CompleteIfFull(Block& block, std::size_t id) {
  Barrier& barrier = block.barriers[id];
  if (barrier.arrived == 0) return;
  const bool full = barrier.expected == 0 ? (LiveWarps(block) & ~barrier.arrived) == 0
                                          : ThreadsOf(barrier.arrived) >= barrier.expected;
  if (!full) return;
  block.launch.clocks.Join(barrier.arrived, barrier.waiting);
  for (Warp& warp : block.warps) {
    if ((barrier.waiting >> warp.index & 1U) == 0) continue;
    WriteReduction(warp, barrier);
    warp.barrier = -1;
  }
  barrier = {};
}

void FillSpecial(Warp& warp, const SpecialSlot& special) {
  const Block& block = *warp.block;
  const cuda::KernelLaunch& launch = block.launch.arguments;
  auto* d = warp.Lanes<std::uint32_t>(special.slot);
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    const std::uint32_t thread = warp.index * kLanes + lane;
    const std::uint32_t below = (1U << lane) - 1;
    const auto axis = [](Special s, Special first) {
      return static_cast<std::size_t>(s) - static_cast<std::size_t>(first);
    };
    switch (special.special) {
      case Special::kTidX:
        d[lane] = thread % launch.block[0];
        break;
      case Special::kTidY:
        d[lane] = thread / launch.block[0] % launch.block[1];
        break;
      case Special::kTidZ:
        d[lane] = thread / launch.block[0] / launch.block[1];
        break;
      case Special::kNtidX:
      case Special::kNtidY:
      case Special::kNtidZ:
        d[lane] = launch.block[axis(special.special, Special::kNtidX)];
        break;
      case Special::kCtaidX:
      case Special::kCtaidY:
      case Special::kCtaidZ:
        d[lane] = block.index[axis(special.special, Special::kCtaidX)];
        break;
      case Special::kNctaidX:
      case Special::kNctaidY:
      case Special::kNctaidZ:
        d[lane] = launch.grid[axis(special.special, Special::kNctaidX)];
        break;
      case Special::kLaneid:
        d[lane] = lane;
        break;
      case Special::kWarpid:
        d[lane] = warp.index;
        break;
      case Special::kNwarpid:
        d[lane] = static_cast<std::uint32_t>(block.warps.size());
        break;
      case Special::kLanemaskLt:
        d[lane] = below;
        break;
      case Special::kLanemaskLe:
        d[lane] = below | 1U << lane;
        break;
      case Special::kLanemaskEq:
        d[lane] = 1U << lane;
        break;
      case Special::kLanemaskGe:
        d[lane] = ~below;
        break;
      case Special::kLanemaskGt:
        d[lane] = ~(below | 1U << lane);
        break;
      case Special::kDynamicSharedBytes:
        d[lane] = launch.shared_bytes;
        break;
      case Special::kTotalSharedBytes:
        d[lane] = static_cast<std::uint32_t>(block.shared.bytes);
        break;
    }
  }
  warp.written[special.slot] = kFullMask;
}

void FillConstant(Warp& warp, const ConstantSlot& constant) {
  if (constant.width == 1)
    warp.Predicate(constant.slot) = static_cast<std::uint32_t>(constant.value);
  for (std::uint32_t lane = 0; lane < kLanes && constant.width > 1; ++lane) {
    if (constant.width == 2) {
      warp.Lanes<std::uint16_t>(constant.slot)[lane] = static_cast<std::uint16_t>(constant.value);
    } else if (constant.width == 4) {
      warp.Lanes<std::uint32_t>(constant.slot)[lane] = static_cast<std::uint32_t>(constant.value);
    } else {
      warp.Lanes<std::uint64_t>(constant.slot)[lane] = constant.value;
    }
  }
  warp.written[constant.slot] = kFullMask;
}

void StartWarp(Warp& warp) {
  const Block& block = *warp.block;
  const Program& program = *warp.program;
  const std::uint32_t threads = std::min(block.threads - warp.index * kLanes, kLanes);
  warp.live = threads == kLanes ? kFullMask : (1U << threads) - 1;
  warp.registers.resize(program.slots * kSlotBytes);
  warp.written.assign(program.slots, 0);
  for (const ConstantSlot& constant : program.constants) FillConstant(warp, constant);
  for (const SpecialSlot& special : program.specials) FillSpecial(warp, special);
  warp.groups = {{.pc = 0, .mask = warp.live}};
  warp.barrier = -1;
  warp.local.resize(program.local_bytes * kLanes);
  warp.local_valid.assign(warp.local.size(), 0);
  warp.pending.clear();
  warp.commit_groups.fill(0);
  StartProducts(warp);
}

void StartBlock(Block& block, std::uint32_t number) {
  Launch& launch = block.launch;
  const std::uint32_t* grid = launch.arguments.grid;
  block.index = {number % grid[0], number / grid[0] % grid[1], number / grid[0] / grid[1]};
  launch.clocks.Start(number);
  block.shared_races.Start(NextStamp());
  std::fill(block.shared.valid.begin(), block.shared.valid.end(), 0);
  block.barriers.fill({});
  block.fenced = false;
  if (!launch.program.products.empty()) block.proxy.Start(block.shared.bytes, block.threads);
  block.warpgroup_steps.clear();
  block.warpgroup_steps.resize((block.warps.size() + kWarpsOfGroup - 1) / kWarpsOfGroup);
  for (Warp& warp : block.warps) StartWarp(warp);
}

void Deadlock(Block& block) {
  std::string where;
  const Warp* first = nullptr;
  for (const Warp& warp : block.warps) {
    if (warp.live == 0) continue;
    if (first == nullptr) first = &warp;
    where += fmt::format("{}warp {} at barrier {} (line {})", where.empty() ? "" : ", ", warp.index,
                         warp.barrier, warp.current->line);
  }
  Fault(*first, 0, "deadlock: " + where);
}

// Warps in random order, each until it must wait.
void RunBlock(Block& block) {
  std::vector<Warp*> ready;
  while (true) {
    ready.clear();
    for (Warp& warp : block.warps) {
      if (warp.live != 0 && warp.barrier < 0) ready.push_back(&warp);
    }
    if (ready.empty()) break;
    Warp& warp = *ready[block.launch.random() % ready.size()];
    RunWarp(warp);
    if (warp.live != 0) continue;
    CheckProductsOver(warp);
    BarriersAfterExit(block);
  }
  if (LiveWarps(block) != 0) Deadlock(block);
  CheckWarpgroups(block);
}

}  // namespace

void ArriveAtBarrier(Warp& warp, const Instruction& in, std::uint32_t mask) {
  Block& block = *warp.block;
  const std::uint32_t lane = static_cast<std::uint32_t>(__builtin_ctz(mask));
  const std::uint32_t id = warp.Lanes<std::uint32_t>(in.src[0])[lane];
  if (id >= block.barriers.size()) Fault(warp, lane, fmt::format("there is no barrier {}", id));
  Barrier& barrier = block.barriers[id];
  const std::uint32_t expected =
      in.form2 == 1 ? std::uint32_t{warp.Lanes<std::uint32_t>(in.src[1])[lane]} : 0;
  if (expected % kLanes != 0) Fault(warp, lane, fmt::format("a barrier of {} threads", expected));
  if (barrier.arrived != 0 && barrier.expected != expected) {
    Fault(warp, lane,
          fmt::format("barrier {} is awaited by {} threads and by {} (0: all)", id,
                      barrier.expected, expected));
  }
  if ((barrier.arrived >> warp.index & 1U) != 0) {
    Fault(warp, lane, fmt::format("arrives twice at barrier {}", id));
  }
  barrier.expected = expected;
  barrier.arrived |= 1U << warp.index;
  if (in.form == static_cast<std::uint8_t>(BarrierForm::kReduce)) {
    const std::uint32_t predicate = warp.Predicate(in.src[in.num_src - 1U]);
    const std::uint32_t votes = mask & (in.is_signed ? ~predicate : predicate);
    barrier.count += static_cast<std::uint32_t>(__builtin_popcount(votes));
    barrier.voters += static_cast<std::uint32_t>(__builtin_popcount(mask));
  }
  if (in.form != static_cast<std::uint8_t>(BarrierForm::kArrive)) {
    barrier.waiting |= 1U << warp.index;
    warp.barrier = static_cast<int>(id);
  }
  CompleteIfFull(block, id);
}

void BarriersAfterExit(Block& block) {
  for (std::size_t id = 0; id < block.barriers.size(); ++id) CompleteIfFull(block, id);
}

void RunLaunch(Launch& launch) {
  const cuda::KernelLaunch& arguments = launch.arguments;
  const std::uint32_t threads = arguments.block[0] * arguments.block[1] * arguments.block[2];
  SEQUELA_CHECK(threads > 0 && threads <= kMaxWarps * kLanes, "{}: {} threads", arguments.name,
                threads);
  const std::size_t shared_bytes = launch.program.shared_bytes + arguments.shared_bytes;
  SEQUELA_CHECK(shared_bytes <= (227U << 10), "{}: {} bytes of shared memory", arguments.name,
                shared_bytes);
  std::vector<std::byte> storage(shared_bytes + kPageBytes);
  const auto begin = reinterpret_cast<std::uintptr_t>(storage.data());
  std::byte* aligned = storage.data() + (kPageBytes - begin % kPageBytes) % kPageBytes;
  Block block{.launch = launch,
              .threads = threads,
              .shared = Region(aligned, shared_bytes, false),
              .shared_races = Races(launch.clocks)};
  block.warps.resize((threads + kLanes - 1) / kLanes);
  for (std::size_t i = 0; i < block.warps.size(); ++i) {
    block.warps[i].block = &block;
    block.warps[i].program = &launch.program;
    block.warps[i].index = static_cast<std::uint32_t>(i);
  }
  launch.global_races.Start(NextStamp());
  const std::uint32_t blocks = arguments.grid[0] * arguments.grid[1] * arguments.grid[2];
  for (std::uint32_t number = 0; number < blocks; ++number) {
    StartBlock(block, number);
    RunBlock(block);
  }
}

}  // namespace sequela::ptx
