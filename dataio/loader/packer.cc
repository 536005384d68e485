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

// Room left in micro-batches, none of which is begun before those before it: the first one with
// enough of it is found in logarithmic time, by the largest room in each half of each range.
class FirstFit {
 public:
  FirstFit(std::int64_t most, std::int64_t capacity) {
    while (leaves_ < static_cast<std::size_t>(most)) leaves_ *= 2;
    largest_.assign(2 * leaves_, capacity);
  }

  // Takes `length` from the first micro-batch that has it; returns its index.
  std::size_t Take(std::int64_t length) {
    std::size_t node = 1;
    while (node < leaves_) node = 2 * node + (largest_[2 * node] >= length ? 0 : 1);
    const std::size_t place = node - leaves_;
    largest_[node] -= length;
    for (node /= 2; node > 0; node /= 2) {
      largest_[node] = std::max(largest_[2 * node], largest_[2 * node + 1]);
    }
    return place;
  }

 private:
  std::size_t leaves_ = 1;  // a power of two
  // The largest room below each node of a binary tree: children of k are 2k and 2k + 1, the root is
  // 1, and the leaves follow from leaves_ on, one for each micro-batch.
  std::vector<std::int64_t> largest_;
};

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
  FirstFit room(static_cast<std::int64_t>(lengths.size()), capacity);
  for (const std::int64_t window : LongestFirst(lengths)) {
    const std::int64_t length = lengths[static_cast<std::size_t>(window)];
    SEQUELA_CHECK(length <= capacity, "a window of {} tokens, micro-batches of {}", length,
                  capacity);
    const std::size_t place = room.Take(length);
    if (place == packed.size()) packed.emplace_back();
    packed[place].push_back(window);
  }
  for (std::vector<std::int64_t>& windows : packed) std::sort(windows.begin(), windows.end());
  return packed;
}

}  // namespace sequela
