#include "dataio/loader/packer.h"

#include <algorithm>
#include <numeric>

#include "kernels/base/check.h"

namespace sequela {
namespace {

// Indices by descending length; equal lengths in their own order.
std::vector<std::int64_t> LongestFirst(std::span<const std::int64_t> lengths) {
  std::vector<std::int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return lengths[static_cast<std::size_t>(a)] > lengths[static_cast<std::size_t>(b)];
  });
  return order;
}

}  // namespace

double WindowCost(std::int64_t length, double quadratic_length) {
  const auto tokens = static_cast<double>(length);
  return tokens + tokens * tokens / quadratic_length;
}

std::vector<std::vector<std::int64_t>> DealToRanks(std::span<const std::int64_t> lengths,
                                                   std::int64_t num_ranks,
                                                   double quadratic_length) {
  SEQUELA_CHECK(num_ranks > 0 && quadratic_length > 0);
  std::vector<std::vector<std::int64_t>> dealt(static_cast<std::size_t>(num_ranks));
  std::vector<double> load(static_cast<std::size_t>(num_ranks), 0.0);
  for (const std::int64_t window : LongestFirst(lengths)) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += WindowCost(lengths[static_cast<std::size_t>(window)], quadratic_length);
    dealt[static_cast<std::size_t>(least - load.begin())].push_back(window);
  }
  for (std::vector<std::int64_t>& windows : dealt) std::sort(windows.begin(), windows.end());
  return dealt;
}

std::vector<std::vector<std::int64_t>> PackIntoMicrobatches(std::span<const std::int64_t> lengths,
                                                            std::int64_t capacity) {
  std::vector<std::vector<std::int64_t>> packed;
  std::vector<std::int64_t> room;
  for (const std::int64_t window : LongestFirst(lengths)) {
    const std::int64_t length = lengths[static_cast<std::size_t>(window)];
    SEQUELA_CHECK(length <= capacity, "a window of {} tokens, micro-batches of {}", length,
                  capacity);
    const auto fit =
        std::find_if(room.begin(), room.end(), [&](std::int64_t left) { return left >= length; });
    const auto place = static_cast<std::size_t>(fit - room.begin());
    if (fit == room.end()) {
      room.push_back(capacity);
      packed.emplace_back();
    }
    room[place] -= length;
    packed[place].push_back(window);
  }
  for (std::vector<std::int64_t>& windows : packed) std::sort(windows.begin(), windows.end());
  return packed;
}

}  // namespace sequela
