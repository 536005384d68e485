#include "tests/ptx/interpreter/races.h"

#include <algorithm>
#include <bit>

namespace sequela::ptx {
namespace {

// A word: set 1 | atomic 1 | block + 1: 24 | warp 5 | lane 6 | step 27.
constexpr int kStepBits = 27;
constexpr int kLaneBits = 6;
constexpr int kWarpBits = 5;
constexpr int kLaneShift = kStepBits;
constexpr int kWarpShift = kLaneShift + kLaneBits;
constexpr int kBlockShift = kWarpShift + kWarpBits;
constexpr AccessWord kSet = AccessWord{1} << 63;
constexpr AccessWord kAtomic = AccessWord{1} << 62;
constexpr AccessWord kSeveralBlocks = ~AccessWord{0};
constexpr std::uint32_t kSeveralLanes = 33;

std::uint32_t Field(AccessWord word, int shift, int bits) {
  return static_cast<std::uint32_t>(word >> shift) & ((1U << bits) - 1);
}
std::uint32_t Step(AccessWord word) { return Field(word, 0, kStepBits); }
std::uint32_t Lane(AccessWord word) { return Field(word, kLaneShift, kLaneBits); }
std::uint32_t WarpOf(AccessWord word) { return Field(word, kWarpShift, kWarpBits); }
std::uint32_t Block(AccessWord word) { return Field(word, kBlockShift, 24) - 1; }

void Split(Page& page, int shift) {
  std::vector<Cell> cells(kPageBytes >> shift);
  for (std::size_t i = 0; i < cells.size(); ++i)
    cells[i] = page.cells[i >> (page.cell_shift - shift)];
  page.cells = std::move(cells);
  page.cell_shift = shift;
}

}  // namespace

void Clocks::Start(std::uint32_t running_block) {
  block = running_block;
  own.fill(1);
  for (auto& row : known) row.fill(0);
  acquired.clear();
}

void Clocks::Join(std::uint32_t arrived, std::uint32_t released) {
  std::array<std::uint32_t, kMaxWarps> joined{};
  for (std::uint32_t warp = 0; warp < kMaxWarps; ++warp) {
    if ((arrived >> warp & 1U) == 0) continue;
    for (std::uint32_t other = 0; other < kMaxWarps; ++other) {
      joined[other] = std::max(joined[other], known[warp][other]);
    }
    joined[warp] = std::max(joined[warp], own[warp]);
    ++own[warp];
  }
  for (std::uint32_t warp = 0; warp < kMaxWarps; ++warp) {
    if ((released >> warp & 1U) == 0) continue;
    for (std::uint32_t other = 0; other < kMaxWarps; ++other) {
      known[warp][other] = std::max(known[warp][other], joined[other]);
    }
  }
}

AccessParts Explain(AccessWord word) {
  if (word == kSeveralBlocks) return {0, 0, 0, true};
  return {Block(word), WarpOf(word), Lane(word), false};
}

void Races::Start(std::uint64_t stamp) {
  stamp_ = stamp;
  sets_.clear();
  set_words_.clear();
  answers_.assign(kAnswers, {});
}

Page& Races::Touch(Region& region, std::size_t index) {
  Page& page = region.pages[index];
  if (page.stamp != stamp_) {
    page.stamp = stamp_;
    page.cell_shift = 2;
    page.cells.assign(kPageBytes >> 2, {});
    page.kept = false;
  }
  return page;
}

AccessWord Races::Word(Thread thread) const {
  return AccessWord{clocks_.block + 1} << kBlockShift | AccessWord{thread.warp} << kWarpShift |
         AccessWord{thread.lane} << kLaneShift | clocks_.own[thread.warp];
}

bool Races::Ordered(AccessWord earlier, Thread thread) const {
  if (earlier == kSeveralBlocks) return false;
  const std::uint32_t block = Block(earlier);
  if (block != clocks_.block) return block < clocks_.acquired.size() && clocks_.acquired[block];
  const std::uint32_t warp = WarpOf(earlier);
  if (warp != thread.warp) return Step(earlier) <= clocks_.known[thread.warp][warp];
  return Step(earlier) < clocks_.own[warp] ||
         (Lane(earlier) == thread.lane && thread.lane < kAllLanes);
}

bool Races::SetOrdered(AccessWord word, Thread thread) {
  if (word == kSeveralBlocks || (word & kSet) == 0) return Ordered(word, thread);
  const Set& set = sets_[word & ~kSet];
  return std::all_of(set.begin(), set.end(), [&](AccessWord w) { return Ordered(w, thread); });
}

AccessWord Races::Intern(Set set) {
  std::sort(set.begin(), set.end());
  const auto [place, is_new] = set_words_.try_emplace(set, kSet | sets_.size());
  if (is_new) sets_.push_back(std::move(set));
  return place->second;
}

// The readers to remember once `now` has read too: those that are not over for it, and itself.
AccessWord Races::AddReader(AccessWord old, AccessWord now, Thread thread) {
  if (old == 0 || old == now) return now;
  if (old == kSeveralBlocks) return old;
  if (answers_acquisitions_ != clocks_.acquisitions) {
    answers_acquisitions_ = clocks_.acquisitions;
    answers_.assign(kAnswers, {});
  }
  constexpr AccessWord kSpread = 0x9e3779b97f4a7c15U;  // 2^64 over the golden ratio
  const AccessWord mixed = (old * kSpread ^ now) * kSpread;
  Answer& answer = answers_[mixed >> 32 & (kAnswers - 1)];
  if (answer.old != old || answer.now != now) answer = {old, now, FindReaders(old, now, thread)};
  return answer.readers;
}

AccessWord Races::FindReaders(AccessWord old, AccessWord now, Thread thread) {
  const bool is_set = (old & kSet) != 0;
  if (!is_set && Ordered(old, thread)) return now;
  Set left;
  const Set single = {old};
  for (const AccessWord word : is_set ? sets_[old & ~kSet] : single) {
    if (Block(word) != clocks_.block) {
      if (!Ordered(word, thread)) return kSeveralBlocks;
    } else if (WarpOf(word) == thread.warp && Step(word) == Step(now)) {
      if (Lane(word) != thread.lane) {
        now |= AccessWord{63} << kLaneShift;
        now ^= AccessWord{63U ^ kSeveralLanes} << kLaneShift;
      }
    } else if (!Ordered(word, thread)) {
      left.push_back(word);
    }
  }
  if (left.empty()) return now;
  left.push_back(now);
  return Intern(std::move(left));
}

AccessWord Races::Access(Region& region, std::size_t offset, std::size_t bytes, Thread thread,
                         Mode mode) {
  const std::size_t at = region.PageOffset(offset);
  Page& page = Touch(region, at / kPageBytes);
  const int shift = std::min(2, std::countr_zero(at | bytes));
  if (shift < page.cell_shift) Split(page, shift);
  const std::size_t first = at % kPageBytes >> page.cell_shift;
  const std::size_t count = bytes >> page.cell_shift;
  const AccessWord now = Word(thread);
  const AccessWord atomic = mode == Mode::kAtomic ? kAtomic : 0;
  AccessWord old_readers = kSet;  // none is so
  AccessWord new_readers = 0;
  for (std::size_t i = first; i < first + count; ++i) {
    Cell& cell = page.cells[i];
    if (cell.write != 0 && cell.write != now && (cell.write & atomic) == 0 &&
        !Ordered(cell.write, thread)) {
      return cell.write;
    }
    if (mode != Mode::kWrite && mode != Mode::kAtomic) {
      if (cell.read != old_readers) {
        old_readers = cell.read;
        new_readers = AddReader(old_readers, now, thread);
      }
      cell.read = new_readers;
      continue;
    }
    if (cell.read != 0 && cell.read != now && cell.read != old_readers) {
      if (!SetOrdered(cell.read, thread)) {
        const bool is_set = cell.read != kSeveralBlocks && (cell.read & kSet) != 0;
        if (!is_set) return cell.read;
        const Set& set = sets_[cell.read & ~kSet];
        return *std::find_if(set.begin(), set.end(),
                             [&](AccessWord word) { return !Ordered(word, thread); });
      }
      old_readers = cell.read;
    }
    cell.write = now | atomic;
    cell.read = 0;
  }
  return 0;
}

}  // namespace sequela::ptx
