#include "trainer/evaluation/ngram/count_table.h"

#include <algorithm>

namespace sequela {

std::int64_t CountTable::Count(std::uint64_t key) const {
  const auto found = std::ranges::lower_bound(keys_, key);
  if (found == keys_.end() || *found != key) return 0;
  return counts_[static_cast<std::size_t>(found - keys_.begin())];
}

void CountTable::Merge() {
  std::ranges::sort(pending_);
  std::vector<std::uint64_t> keys;
  std::vector<std::int64_t> counts;
  std::size_t old = 0;
  const auto take_old_below = [&](std::uint64_t limit) {
    for (; old < keys_.size() && keys_[old] < limit; ++old) {
      keys.push_back(keys_[old]);
      counts.push_back(counts_[old]);
    }
  };
  for (std::size_t i = 0; i < pending_.size();) {
    const std::uint64_t key = pending_[i];
    take_old_below(key);
    std::int64_t count = 0;
    for (; i < pending_.size() && pending_[i] == key; ++i) ++count;
    if (old < keys_.size() && keys_[old] == key) count += counts_[old++];
    keys.push_back(key);
    counts.push_back(count);
  }
  for (; old < keys_.size(); ++old) {
    keys.push_back(keys_[old]);
    counts.push_back(counts_[old]);
  }
  keys_ = std::move(keys);
  counts_ = std::move(counts);
  pending_.clear();
}

}  // namespace sequela
