// Strings by number, filled by many threads at once. The numbers depend on the order of arrival:
// they are replaced by ranks in sorted order once all strings are known (Ranks). Intern is safe for
// concurrent use; the rest once interning has ended.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sequela {

class StringPool {
 public:
  std::uint32_t Intern(std::string_view text);
  std::size_t size() const;
  std::size_t bytes() const;  // about

  // All strings in bytewise order, and for each number its place there.
  struct Ranks {
    std::vector<std::string> sorted;
    std::vector<std::uint32_t> rank_of;
  };
  // Leaves the pool empty.
  Ranks TakeRanks();

 private:
  static constexpr std::uint32_t kShards = 64;
  struct Shard {
    mutable std::mutex mutex;
    std::deque<std::string> strings;
    std::unordered_map<std::string_view, std::uint32_t> local;
    std::size_t text_bytes = 0;
  };
  std::array<Shard, kShards> shards_;
};

}  // namespace sequela
