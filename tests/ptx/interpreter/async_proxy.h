// Shared memory between the two ways to it: ordinary accesses of threads (PTX: the generic proxy)
// and the reads of warpgroup products (the async proxy).
//  1. What a thread wrote is seen by a product if the thread executed fence.proxy.async after it
//     and before what orders it with the product.
//  2. What an unfinished product reads is not written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "tests/ptx/interpreter/races.h"

namespace sequela::ptx {

class AsyncProxy {
 public:
  static constexpr std::size_t kPiece = 16;  // bytes that a product reads at once

  // Blank, for so many bytes and threads. Before it, nothing is watched.
  void Start(std::size_t bytes, std::size_t threads);
  [[nodiscard]] bool Watches() const { return !readers_.empty(); }

  // A thread (of the block) writes. False where an unfinished product reads some of it.
  bool Write(std::size_t offset, std::size_t bytes, std::uint32_t thread);
  // It executes fence.proxy.async, its warp's clock being `step`.
  void Fence(std::uint32_t thread, std::uint32_t step);
  // The thread, if any, whose write of a piece a product of `warp` does not see.
  std::optional<std::uint32_t> Unseen(std::size_t offset, std::uint32_t warp,
                                      const Clocks& clocks) const;
  // A product reads the piece from now on, or no longer.
  void Hold(std::size_t offset) { ++readers_[offset / kPiece]; }
  void Release(std::size_t offset) { --readers_[offset / kPiece]; }

 private:
  static constexpr std::size_t kMarked = 2;  // bytes: no narrower writer is told from its neighbour

  std::vector<std::uint16_t> readers_;  // by piece: unfinished products
  // By kMarked bytes: the last writer, as thread + 1 below and its fences until then above.
  std::vector<std::uint32_t> writers_;
  std::vector<std::vector<std::uint32_t>> fences_;  // by thread: steps
};

}  // namespace sequela::ptx
