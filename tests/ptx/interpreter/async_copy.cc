// cp.async, which lands as it is issued or only at the wait for it (Launch::latest).
#include <algorithm>
#include <cstring>

#include "tests/ptx/interpreter/access.h"
#include "tests/ptx/interpreter/lanes.h"

namespace sequela::ptx {
namespace {

void Land(Warp& warp, const PendingCopy& copy, std::uint32_t lane) {
  std::array<std::byte, 16> data{};
  if (copy.source_bytes == copy.bytes) {
    std::memcpy(data.data(),
                Access(warp, lane, Space::kGlobal, copy.from, copy.bytes, Intent::kRead, lane),
                copy.bytes);
  } else {
    for (std::uint32_t i = 0; i < copy.source_bytes; ++i) {
      data[i] = *Access(warp, lane, Space::kGlobal, copy.from + i, 1, Intent::kRead, lane);
    }
  }
  std::byte* to = Access(warp, lane, Space::kShared, copy.to, copy.bytes, Intent::kWrite, lane);
  std::memcpy(to, data.data(), copy.bytes);
}

// src: [to], [from], then the source's size (in.form bit 0) or the predicate that ignores it (bit
// 1).
void Copy(Warp& warp, const Instruction& in, std::uint32_t mask) {
  Launch& launch = warp.block->launch;
  std::array<std::uint64_t, kLanes> targets{};
  for (std::uint32_t left = mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<std::uint32_t>(__builtin_ctz(left));
    PendingCopy copy{.lane = lane,
                     .group = warp.commit_groups[lane],
                     .bytes = in.bytes,
                     .source_bytes = in.bytes};
    copy.to = in.form2 == 4 ? warp.Lanes<std::uint32_t>(in.src[0])[lane]
                            : warp.Lanes<std::uint64_t>(in.src[0])[lane];
    copy.to += static_cast<std::uint64_t>(in.immediate);
    if ((copy.to & kWindowMask) == kSharedWindow) copy.to -= kSharedWindow;
    copy.from = warp.Lanes<std::uint64_t>(in.src[1])[lane] + in.target;
    if ((in.form & 1U) != 0) copy.source_bytes = warp.Lanes<std::uint32_t>(in.src[2])[lane];
    if ((in.form & 2U) != 0 && (warp.Predicate(in.src[2]) >> lane & 1U) != 0) copy.source_bytes = 0;
    if (copy.source_bytes > copy.bytes) {
      Fault(warp, lane, fmt::format("a source of {} bytes for {}", copy.source_bytes, copy.bytes));
    }
    if (copy.from % copy.bytes != 0) {
      Fault(warp, lane,
            fmt::format("the source {:#x} is not a multiple of {}", copy.from, copy.bytes));
    }
    launch.counts.global_bytes_read += copy.source_bytes;
    targets[lane] = copy.to;
    if (launch.latest) {  // the write's own race is looked for now and as it lands
      Access(warp, lane, Space::kShared, copy.to, copy.bytes, Intent::kWrite, lane);
      Poison(warp, copy.to, copy.bytes);
    } else {
      Land(warp, copy, lane);
    }
    warp.pending.push_back(copy);
  }
  CountBanks(launch.counts, targets, mask, in.bytes);
}

// The thread's copies of all groups but the newest `left` ones have landed.
void WaitFor(Warp& warp, std::uint32_t mask, std::uint32_t left, bool uncommitted_too) {
  std::erase_if(warp.pending, [&](const PendingCopy& copy) {
    if ((mask >> copy.lane & 1U) == 0) return false;
    const bool done = uncommitted_too || copy.group + left < warp.commit_groups[copy.lane];
    if (!done) return false;
    if (warp.block->launch.latest) {
      Land(warp, copy, copy.lane);
    } else {  // whoever touched it since did so too early
      Access(warp, copy.lane, Space::kShared, copy.to, copy.bytes, Intent::kWrite, copy.lane);
    }
    return true;
  });
}

void Commit(Warp& warp, const Instruction&, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t lane) { ++warp.commit_groups[lane]; });
}
void WaitGroup(Warp& warp, const Instruction& in, std::uint32_t mask) {
  WaitFor(warp, mask, static_cast<std::uint32_t>(in.immediate), false);
}
void WaitAll(Warp& warp, const Instruction&, std::uint32_t mask) { WaitFor(warp, mask, 0, true); }

void BuildCopy(Decoder& d) {
  const bool past_l1 = d.op.TakeOneOf({"ca", "cg"}) == 1;
  d.op.DropHints();
  if (!d.op.Take("shared") && !d.op.Take("shared::cta")) d.Fail("only into shared memory");
  if (!d.op.Take("global")) d.Fail("only from global memory");
  d.Address(d.At(0), Space::kShared);
  const auto to_form = d.in.form2;
  const auto to_offset = d.in.immediate;
  d.Address(d.At(1), Space::kGlobal);
  d.in.target = static_cast<std::uint32_t>(d.in.immediate);
  if (d.in.immediate < 0) d.Fail("a negative offset");
  d.in.form2 = to_form;
  d.in.immediate = to_offset;
  d.in.bytes = static_cast<std::uint8_t>(d.At(2).value);
  const bool known = d.in.bytes == 16 || (!past_l1 && (d.in.bytes == 4 || d.in.bytes == 8));
  if (!known) d.Fail("an unknown number of bytes");
  if (d.Operands().size() > 3) {
    const bool predicate = d.WidthOf(d.At(3)) == 1;
    d.in.form = predicate ? 2 : 1;
    d.Src(d.At(3), predicate ? 1 : 4);
  }
  d.in.run = Copy;
}

void BuildAsync(Decoder& d) {
  if (!d.op.Take("async")) d.Fail("only cp.async is known");
  d.in.async = true;
  if (d.op.Take("commit_group")) {
    d.in.run = Commit;
  } else if (d.op.Take("wait_group")) {
    d.in.immediate = static_cast<std::int64_t>(d.At(0).value);
    d.in.run = WaitGroup;
  } else if (d.op.Take("wait_all")) {
    d.in.run = WaitAll;
  } else {
    BuildCopy(d);
  }
}

}  // namespace

const BuilderTable& AsyncBuilders() {
  static const BuilderTable table = {{"cp", BuildAsync}};
  return table;
}

}  // namespace sequela::ptx
