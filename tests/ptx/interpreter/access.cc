#include "tests/ptx/interpreter/access.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/check.h"

namespace sequela::ptx {
namespace {

struct Place {
  Space space = Space::kGlobal;
  std::uint64_t address = 0;  // in its space
};

Place FromGeneric(std::uint64_t address) {
  switch (address & kWindowMask) {
    case kSharedWindow:
      return {Space::kShared, address - kSharedWindow};
    case kLocalWindow:
      return {Space::kLocal, address - kLocalWindow};
    case kParamWindow:
      return {Space::kParam, address - kParamWindow};
    default:
      return {Space::kGlobal, address};
  }
}

const char* NameOf(Space space) {
  constexpr const char* kNames[] = {"generic", "global", "const", "shared", "local", "param"};
  return kNames[static_cast<int>(space)];
}
const char* NameOf(Intent intent) { return intent == Intent::kRead ? "reads" : "writes"; }

// Before the first write to a page in this launch: what stood there.
void Keep(Launch& launch, Region& region, std::size_t offset) {
  const std::size_t index = region.PageOffset(offset) / kPageBytes;
  Page& page = launch.global_races.Touch(region, index);
  if (page.kept) return;
  page.kept = true;
  const std::size_t lead = region.PageOffset(0);
  const std::size_t begin = index * kPageBytes < lead ? 0 : index * kPageBytes - lead;
  const std::size_t end = std::min((index + 1) * kPageBytes - lead, region.bytes);
  page.original.assign(region.begin + begin, region.begin + end);
  if (!region.valid.empty()) {
    const auto valid = region.valid.begin();
    page.original_valid.assign(valid + static_cast<std::ptrdiff_t>(begin),
                               valid + static_cast<std::ptrdiff_t>(end));
  }
  launch.kept.push_back({&region, index});
}

void RaceFault(Warp& warp, std::uint32_t lane, Space space, std::uint64_t address, Intent intent,
               AccessWord earlier) {
  const AccessParts parts = Explain(earlier);
  const Block& block = *warp.block;
  std::string who;
  if (parts.several_blocks) {
    who = "several blocks";
  } else if (parts.block != block.launch.clocks.block) {
    who = fmt::format("block {}", parts.block);
  } else if (parts.lane >= kAllLanes) {
    who = fmt::format("several threads of warp {}", parts.warp);
  } else {
    who = fmt::format("thread {}", parts.warp * kLanes + parts.lane);
  }
  Fault(
      warp, lane,
      fmt::format("race: {} {} memory at {:#x}, which {} touched with nothing that orders the two",
                  NameOf(intent), NameOf(space), address, who));
}

std::byte* AccessLocal(Warp& warp, std::uint32_t lane, std::uint64_t address, std::size_t bytes,
                       Intent intent) {
  const std::size_t size = warp.program->local_bytes;
  if (address > size || bytes > size - address) {
    Fault(warp, lane,
          fmt::format("{} bytes at {} of {} bytes of local memory", bytes, address, size));
  }
  const std::size_t at = lane * size + address;
  if (intent != Intent::kRead) {
    std::fill_n(warp.local_valid.begin() + static_cast<std::ptrdiff_t>(at), bytes, 1);
  } else {
    for (std::size_t i = 0; i < bytes; ++i) {
      if (warp.local_valid[at + i] == 0) {
        Fault(warp, lane, fmt::format("reads local memory at {} that was never written", address));
      }
    }
  }
  return warp.local.data() + at;
}

Region& RegionOf(Warp& warp, std::uint32_t lane, Space space, std::uint64_t address,
                 std::size_t bytes, std::size_t& offset) {
  Launch& launch = warp.block->launch;
  if (space == Space::kGlobal || space == Space::kConst) {
    Region* region = Memory().Find(address);
    if (region == nullptr) {
      Fault(warp, lane,
            fmt::format("{} bytes at {:#x}: {}", bytes, address, Memory().Describe(address)));
    }
    offset = address - reinterpret_cast<std::uintptr_t>(region->begin);
    if (bytes > region->bytes - offset) {
      Fault(warp, lane,
            fmt::format("{} bytes at {:#x} run {} bytes beyond an allocation of {} bytes", bytes,
                        address, bytes - (region->bytes - offset), region->bytes));
    }
    return *region;
  }
  Region& region = space == Space::kShared ? warp.block->shared : launch.parameters;
  offset = address;
  if (address > region.bytes || bytes > region.bytes - address) {
    Fault(warp, lane,
          fmt::format("{} bytes at {} of {} bytes of {} memory", bytes,
                      static_cast<std::int64_t>(address), region.bytes, NameOf(space)));
  }
  return region;
}

struct Located {
  std::byte* memory = nullptr;
  AccessWord race = 0;
  Space space = Space::kGlobal;
};

Located Locate(Warp& warp, std::uint32_t lane, Space space, std::uint64_t address,
               std::size_t bytes, Intent intent, std::uint32_t as) {
  if (space == Space::kGeneric) {
    const Place place = FromGeneric(address);
    space = place.space;
    address = place.address;
  }
  if (address % bytes != 0) {
    Fault(warp, lane,
          fmt::format("{} bytes of {} memory at {:#x}, which is not a multiple of {}", bytes,
                      NameOf(space), address, bytes));
  }
  if (space == Space::kLocal) {
    return {AccessLocal(warp, lane, address, bytes, intent), 0, space};
  }
  std::size_t offset = 0;
  Region& region = RegionOf(warp, lane, space, address, bytes, offset);
  Block& block = *warp.block;
  const bool is_shared = space == Space::kShared;
  if (intent != Intent::kRead && region.read_only) {
    Fault(warp, lane, fmt::format("writes {} memory, which is read-only", NameOf(space)));
  }
  if (is_shared && intent != Intent::kRead && block.proxy.Watches() &&
      !block.proxy.Write(offset, bytes, warp.index * kLanes + lane)) {
    Fault(warp, lane,
          fmt::format("writes shared memory at {:#x}, which an unfinished product reads", address));
  }
  if (!region.valid.empty()) {
    if (intent == Intent::kWrite) {
      if (!is_shared && block.launch.keep) Keep(block.launch, region, offset);
      std::memset(region.valid.data() + offset, 1, bytes);
    } else if (!region.Valid(offset, bytes)) {
      Fault(warp, lane,
            fmt::format("reads {} bytes of {} memory at {:#x}, not all of them written", bytes,
                        NameOf(space), address));
    }
  }
  Located located{region.begin + offset, 0, space};
  if (region.read_only) return located;
  if (!is_shared && intent != Intent::kRead) {
    block.fenced = false;
    if (block.launch.keep) Keep(block.launch, region, offset);
  }
  if (block.launch.races) {
    Races& races = is_shared ? block.shared_races : block.launch.global_races;
    located.race =
        races.Access(region, offset, bytes, {warp.index, as}, static_cast<Races::Mode>(intent));
  }
  return located;
}

}  // namespace

std::byte* Access(Warp& warp, std::uint32_t lane, Space space, std::uint64_t address,
                  std::size_t bytes, Intent intent, std::uint32_t as) {
  const Located located = Locate(warp, lane, space, address, bytes, intent, as);
  if (located.race != 0) RaceFault(warp, lane, located.space, address, intent, located.race);
  return located.memory;
}

void Store(Warp& warp, std::uint32_t lane, std::uint32_t mask, Space space, std::uint64_t address,
           std::size_t bytes, const std::byte* value) {
  const Located located = Locate(warp, lane, space, address, bytes, Intent::kWrite, lane);
  if (located.race != 0) {
    // Perhaps a thread before this one in the same instruction, with the same value.
    const AccessParts parts = Explain(located.race);
    const bool together =
        !parts.several_blocks && parts.block == warp.block->launch.clocks.block &&
        parts.warp == warp.index && parts.lane < lane && (mask >> parts.lane & 1U) != 0 &&
        AddressOf(warp, *warp.current, parts.lane) == AddressOf(warp, *warp.current, lane);
    if (!together || std::memcmp(located.memory, value, bytes) != 0) {
      RaceFault(warp, lane, located.space, address, Intent::kWrite, located.race);
    }
  }
  std::memcpy(located.memory, value, bytes);
}

void Poison(Warp& warp, std::uint64_t shared_address, std::size_t bytes) {
  Region& shared = warp.block->shared;
  std::memset(shared.valid.data() + shared_address, 0, bytes);
  std::memset(shared.begin + shared_address, 0xff, bytes);
}

void CountBanks(KernelCounts& counts, const std::array<std::uint64_t, kLanes>& addresses,
                std::uint32_t mask, std::size_t bytes) {
  constexpr std::uint32_t kBanks = 32;
  const std::uint32_t per_phase = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  ++counts.shared_accesses;
  for (std::uint32_t first = 0; first < kLanes; first += per_phase) {
    std::array<std::array<std::uint64_t, kLanes>, kBanks> words;  // different ones of each bank
    std::array<std::uint8_t, kBanks> used{};
    std::uint8_t most = 0;
    for (std::uint32_t lane = first; lane < first + per_phase; ++lane) {
      if ((mask >> lane & 1U) == 0) continue;
      for (std::uint64_t word = addresses[lane] / 4; word <= (addresses[lane] + bytes - 1) / 4;
           ++word) {
        const std::size_t bank = word % kBanks;
        const auto end = words[bank].begin() + used[bank];
        if (std::find(words[bank].begin(), end, word) != end) continue;
        words[bank][used[bank]++] = word;
        most = std::max(most, used[bank]);
      }
    }
    counts.shared_wavefronts += most;
    if (most > 1) counts.bank_conflicts += most - 1;
  }
}

}  // namespace sequela::ptx
