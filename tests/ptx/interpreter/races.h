// Finds accesses of different threads to the same bytes that nothing orders.
//
// Every warp has a clock, which steps at each barrier, and knows how far each other warp had come
// at the last barrier that orders them (vector clocks). Within a warp, threads are ordered by
// bar.warp.sync and block barriers alone: neither a shuffle nor running in step orders memory. A
// bar.warp.sync of some threads of a warp counts as one of all. Blocks of a launch are ordered by
// nothing but a fence followed by an atomic on memory on which another block's atomic follows.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "tests/ptx/interpreter/memory.h"

namespace sequela::ptx {

inline constexpr std::uint32_t kMaxWarps = 32;
inline constexpr std::uint32_t kAllLanes = 32;  // an access of the warp as a whole (ldmatrix)

// How far the warps of the running block have come.
struct Clocks {
  std::uint32_t block = 0;
  std::array<std::uint32_t, kMaxWarps> own;
  // known[w][v]: the last step of warp v that is over for warp w.
  std::array<std::array<std::uint32_t, kMaxWarps>, kMaxWarps> known;
  std::vector<bool> acquired;      // by block: its past is over for the running one
  std::uint32_t acquisitions = 0;  // how often that changed

  void Start(std::uint32_t running_block);
  void StepWarp(std::uint32_t warp) { ++own[warp]; }
  // A barrier: what the warps in `arrived` did is over for those in `released`.
  void Join(std::uint32_t arrived, std::uint32_t released);
};

struct Thread {
  std::uint32_t warp = 0;
  std::uint32_t lane = 0;  // or kAllLanes
};

// An access as a cell remembers it; 0 is none.
using AccessWord = std::uint64_t;
struct AccessParts {
  std::uint32_t block;
  std::uint32_t warp;
  std::uint32_t lane;  // kAllLanes or more: several
  bool several_blocks;
};
AccessParts Explain(AccessWord word);

// Watches one space. A page whose stamp is another than the present one's is blank.
class Races {
 public:
  explicit Races(const Clocks& clocks) : clocks_(clocks) {}
  void Start(std::uint64_t stamp);

  enum class Mode { kRead, kWrite, kAtomic };
  // Marks the access; gives an earlier one that it races with, or 0. Then part may be unmarked.
  AccessWord Access(Region& region, std::size_t offset, std::size_t bytes, Thread thread,
                    Mode mode);
  // The page, blank if it was not touched since Start.
  Page& Touch(Region& region, std::size_t index);

 private:
  using Set = std::vector<AccessWord>;
  // What AddReader said of the readers `old` and the access `now`.
  struct Answer {
    AccessWord old = 0;
    AccessWord now = 0;
    AccessWord readers = 0;
  };
  static constexpr std::size_t kAnswers = 1024;  // a power of 2

  bool Ordered(AccessWord earlier, Thread thread) const;
  bool SetOrdered(AccessWord set, Thread thread);
  AccessWord AddReader(AccessWord old, AccessWord now, Thread thread);
  AccessWord FindReaders(AccessWord old, AccessWord now, Thread thread);
  AccessWord Intern(Set set);
  AccessWord Word(Thread thread) const;

  const Clocks& clocks_;
  std::uint64_t stamp_ = 0;
  std::vector<Set> sets_;
  std::map<Set, AccessWord> set_words_;
  // Neighbouring cells ask the same again and again: `now` names warp and step, and with them what
  // is over for it, until another block's past is.
  std::vector<Answer> answers_;
  std::uint32_t answers_acquisitions_ = 0;
};

}  // namespace sequela::ptx
