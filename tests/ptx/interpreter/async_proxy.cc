#include "tests/ptx/interpreter/async_proxy.h"

#include <algorithm>

#include "kernels/base/check.h"

namespace sequela::ptx {
namespace {

constexpr int kThreadBits = 11;
constexpr std::uint32_t kThreadMask = (1U << kThreadBits) - 1;

}  // namespace

void AsyncProxy::Start(std::size_t bytes, std::size_t threads) {
  readers_.assign(bytes / kPiece + 1, 0);
  writers_.assign((bytes / kPiece + 1) * (kPiece / kMarked), 0);
  fences_.resize(threads);
  for (auto& steps : fences_) steps.clear();
}

bool AsyncProxy::Write(std::size_t offset, std::size_t bytes, std::uint32_t thread) {
  const std::size_t last = offset + bytes - 1;
  const auto epoch = static_cast<std::uint32_t>(fences_[thread].size());
  SEQUELA_CHECK(epoch < 1U << (32 - kThreadBits), "too many fences");
  std::fill(writers_.begin() + static_cast<std::ptrdiff_t>(offset / kMarked),
            writers_.begin() + static_cast<std::ptrdiff_t>(last / kMarked + 1),
            epoch << kThreadBits | (thread + 1));
  return std::all_of(readers_.begin() + static_cast<std::ptrdiff_t>(offset / kPiece),
                     readers_.begin() + static_cast<std::ptrdiff_t>(last / kPiece + 1),
                     [](std::uint16_t readers) { return readers == 0; });
}

void AsyncProxy::Fence(std::uint32_t thread, std::uint32_t step) {
  if (Watches()) fences_[thread].push_back(step);
}

std::optional<std::uint32_t> AsyncProxy::Unseen(std::size_t offset, std::uint32_t warp,
                                                const Clocks& clocks) const {
  std::uint32_t seen = 0;  // the last mark that was in order
  const std::size_t first = offset / kMarked;
  for (std::size_t i = first; i < first + kPiece / kMarked; ++i) {
    const std::uint32_t mark = writers_[i];
    if (mark == 0 || mark == seen) continue;
    const std::uint32_t thread = (mark & kThreadMask) - 1;
    const std::uint32_t epoch = mark >> kThreadBits;
    const std::uint32_t writer = thread / 32;
    const auto& fences = fences_[thread];
    const bool in_order =
        epoch < fences.size() && (writer == warp || fences[epoch] <= clocks.known[warp][writer]);
    if (!in_order) return thread;
    seen = mark;
  }
  return std::nullopt;
}

}  // namespace sequela::ptx
