// Counts of 64-bit keys in sorted arrays: memory grows with the distinct keys alone.
#pragma once

#include <cstdint>
#include <vector>

namespace sequela {

// Add any number of times, then Finish, then Count (safe for concurrent use).
class CountTable {
 public:
  void Add(std::uint64_t key) {
    pending_.push_back(key);
    if (pending_.size() >= kPendingLimit) Merge();
  }
  void Finish() {
    Merge();
    pending_.shrink_to_fit();
  }
  std::int64_t Count(std::uint64_t key) const;

 private:
  static constexpr std::size_t kPendingLimit = 1U << 22;
  void Merge();

  std::vector<std::uint64_t> pending_;
  std::vector<std::uint64_t> keys_;  // ascending
  std::vector<std::int64_t> counts_;
};

}  // namespace sequela
