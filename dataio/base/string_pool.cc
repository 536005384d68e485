#include "dataio/base/string_pool.h"

#include <algorithm>

#include "kernels/base/int_math.h"

namespace sequela {

std::uint32_t StringPool::Intern(std::string_view text) {
  const std::size_t hash = std::hash<std::string_view>()(text);
  const auto index = static_cast<std::uint32_t>((hash >> 40) % kShards);
  Shard& shard = shards_[index];
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.local.find(text);
  if (found != shard.local.end()) return found->second * kShards + index;
  const auto local = narrow<std::uint32_t>(shard.strings.size());
  shard.strings.emplace_back(text);
  shard.local.emplace(shard.strings.back(), local);
  shard.text_bytes += text.size();
  return local * kShards + index;
}

std::size_t StringPool::size() const {
  std::size_t total = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    total += shard.strings.size();
  }
  return total;
}

std::size_t StringPool::bytes() const {
  std::size_t total = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    total += shard.text_bytes + shard.strings.size() * 96;
  }
  return total;
}

StringPool::Ranks StringPool::TakeRanks() {
  std::vector<std::pair<std::string, std::uint32_t>> all;
  std::uint32_t bound = 0;
  for (std::uint32_t index = 0; index < kShards; ++index) {
    Shard& shard = shards_[index];
    shard.local.clear();
    for (std::size_t local = 0; local < shard.strings.size(); ++local) {
      const auto number = static_cast<std::uint32_t>(local) * kShards + index;
      all.emplace_back(std::move(shard.strings[local]), number);
      bound = std::max(bound, number + 1);
    }
    shard.strings.clear();
    shard.text_bytes = 0;
  }
  std::sort(all.begin(), all.end());
  Ranks ranks;
  ranks.rank_of.assign(bound, 0);
  ranks.sorted.reserve(all.size());
  for (auto& [text, number] : all) {
    ranks.rank_of[number] = static_cast<std::uint32_t>(ranks.sorted.size());
    ranks.sorted.push_back(std::move(text));
  }
  return ranks;
}

}  // namespace sequela
