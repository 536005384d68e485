// A hash map from 64-bit keys to counts, by open addressing: many keys, little memory, quick
// addition. Merging is integer addition, so that counts never depend on who counted first. One
// thread at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/base/philox.h"

namespace sequela {

class CountingMap {
 public:
  using Entry = std::pair<std::uint64_t, std::uint64_t>;  // key, count

  void Add(std::uint64_t key, std::uint64_t count = 1) {
    if (count == 0) return;
    if ((used_ + 1) * 4 > slots_.size() * 3) Grow();
    Entry& slot = slots_[SlotOf(key)];
    if (slot.second == 0) {
      slot.first = key;
      ++used_;
    }
    slot.second += count;
  }
  std::uint64_t Get(std::uint64_t key) const {
    return slots_.empty() ? 0 : slots_[SlotOf(key)].second;
  }
  void Merge(const CountingMap& other) {
    for (const Entry& entry : other.slots_) Add(entry.first, entry.second);
  }
  std::size_t size() const { return used_; }
  std::size_t bytes() const { return slots_.size() * sizeof(Entry); }
  // All entries, ascending by key.
  std::vector<Entry> Sorted() const {
    std::vector<Entry> entries;
    entries.reserve(used_);
    for (const Entry& entry : slots_) {
      if (entry.second != 0) entries.push_back(entry);
    }
    std::sort(entries.begin(), entries.end());
    return entries;
  }

 private:
  // The key's slot, or the empty one where it belongs (count 0 marks empty slots).
  std::size_t SlotOf(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t slot = static_cast<std::size_t>(MixBits(key + 0x9e3779b97f4a7c15ULL)) & mask;
    while (slots_[slot].second != 0 && slots_[slot].first != key) slot = (slot + 1) & mask;
    return slot;
  }
  void Grow() {
    std::vector<Entry> old(slots_.empty() ? 64 : slots_.size() * 2);
    old.swap(slots_);
    for (const Entry& entry : old) {
      if (entry.second != 0) slots_[SlotOf(entry.first)] = entry;
    }
  }

  std::vector<Entry> slots_;
  std::size_t used_ = 0;
};

}  // namespace sequela
