#include "dataio/ingest/quantiles.h"

#include <algorithm>
#include <bit>
#include <map>

#include "kernels/base/check.h"

namespace sequela {
namespace {

constexpr std::uint32_t kSign = 0x80000000U;
constexpr std::uint32_t kZero = kSign;  // OrderKey(0)

// The key of the largest value below; -0, whose key no value has, is stepped over.
std::uint32_t KeyBelow(std::uint32_t key) { return key == kZero ? kZero - 2 : key - 1; }

std::uint64_t Total(const std::vector<KeyCount>& counts) {
  std::uint64_t total = 0;
  for (const KeyCount& entry : counts) total += entry.second;
  return total;
}

// The rank (from 1) of the j-th of `bins` quantiles among n values.
std::uint64_t RankOf(std::uint64_t j, std::uint64_t n, int bins) {
  const auto k = static_cast<std::uint64_t>(bins);
  return (j * n + k - 1) / k;
}

bool IsHeavy(std::uint64_t count, std::uint64_t n, int bins) {
  return count * static_cast<std::uint64_t>(bins) > n;
}

// Values of the refined buckets with the number of values at or below each.
struct Ranked {
  std::uint32_t key;
  std::uint64_t count;
  std::uint64_t at_or_below;
};

std::vector<Ranked> RankExactValues(const std::vector<KeyCount>& buckets,
                                    const std::vector<KeyCount>& exact) {
  std::vector<Ranked> ranked;
  ranked.reserve(exact.size());
  std::uint64_t below = 0;
  std::size_t next = 0;
  for (const KeyCount& bucket : buckets) {
    std::uint64_t inside = below;
    for (; next < exact.size() && exact[next].first >> 16 == bucket.first; ++next) {
      inside += exact[next].second;
      ranked.push_back({exact[next].first, exact[next].second, inside});
    }
    below += bucket.second;
    SEQUELA_CHECK(inside == below || ranked.empty() || ranked.back().key >> 16 != bucket.first,
                  "bucket {} holds {} values, {} were counted", bucket.first, bucket.second,
                  inside);
  }
  SEQUELA_CHECK(next == exact.size());
  return ranked;
}

}  // namespace

std::uint32_t OrderKey(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value == 0.0F ? 0.0F : value);
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

float FromOrderKey(std::uint32_t key) {
  return std::bit_cast<float>((key & kSign) != 0 ? key & ~kSign : ~key);
}

std::vector<std::uint32_t> BucketsToRefine(const std::vector<KeyCount>& buckets, int bins) {
  const std::uint64_t n = Total(buckets);
  const bool all = buckets.size() <= static_cast<std::size_t>(bins);
  std::vector<std::uint32_t> refine;
  std::uint64_t below = 0;
  std::uint64_t j = 1;
  for (const KeyCount& bucket : buckets) {
    const std::uint64_t at_or_below = below + bucket.second;
    bool holds_cut = false;
    for (; j < static_cast<std::uint64_t>(bins) && RankOf(j, n, bins) <= at_or_below; ++j) {
      holds_cut = true;
    }
    if (all || holds_cut || IsHeavy(bucket.second, n, bins)) refine.push_back(bucket.first);
    below = at_or_below;
  }
  return refine;
}

std::vector<float> FitBinEdges(const std::vector<KeyCount>& buckets,
                               const std::vector<KeyCount>& exact, int bins) {
  const std::uint64_t n = Total(buckets);
  const std::vector<Ranked> ranked = RankExactValues(buckets, exact);
  const bool all_exact = !ranked.empty() && Total(exact) == n;
  // Upper edge of a bin -> number of values at or below it.
  std::map<std::uint32_t, std::uint64_t> cuts;
  if (all_exact && ranked.size() <= static_cast<std::size_t>(bins)) {
    for (const Ranked& value : ranked) cuts[value.key] = value.at_or_below;
  } else {
    std::uint64_t j = 1;
    for (const Ranked& value : ranked) {
      const std::uint64_t below = value.at_or_below - value.count;
      for (; j < static_cast<std::uint64_t>(bins) && RankOf(j, n, bins) <= value.at_or_below; ++j) {
        cuts[value.key] = value.at_or_below;
      }
      if (IsHeavy(value.count, n, bins)) {
        cuts[value.key] = value.at_or_below;
        cuts[KeyBelow(value.key)] = below;
      }
    }
  }
  // Between two cuts with the same number of values below lies an empty bin: the upper cut stays,
  // so that a heavy value keeps its bin to itself. The outermost bins are never empty.
  std::vector<float> edges;
  for (auto cut = cuts.begin(); cut != cuts.end(); ++cut) {
    const auto next = std::next(cut);
    const bool empty_above = next != cuts.end() && next->second == cut->second;
    if (cut->second == 0 || cut->second == n || empty_above) continue;
    edges.push_back(FromOrderKey(cut->first));
  }
  return edges;
}

}  // namespace sequela
