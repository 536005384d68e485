#include "dataio/ingest/fitting/bin_edges.h"

#include <algorithm>

#include "dataio/ingest/fitting/clean_events.h"
#include "dataio/ingest/quantiles.h"
#include "dataio/ingest/reading/bytes.h"

namespace sequela {
namespace {

// A code's buckets (upper 16 bits), and which of them are to be counted exactly.
struct CodeBuckets {
  std::uint32_t code = 0;
  std::vector<KeyCount> buckets;
  std::vector<std::uint32_t> refine;
  std::uint64_t most_keys = 0;  // a bound on the distinct values in the refined buckets
};

std::vector<CodeBuckets> BucketsByCode(const FitInput& input) {
  std::vector<CodeBuckets> codes;
  for (const auto& [key, count] : input.statistics.value_buckets.Sorted()) {
    const auto code = static_cast<std::uint32_t>(key >> 16);
    if (!HasValueBins(input, code)) continue;
    if (codes.empty() || codes.back().code != code) codes.push_back({code, {}, {}, 0});
    codes.back().buckets.emplace_back(static_cast<std::uint32_t>(key & 0xFFFFU), count);
  }
  for (CodeBuckets& code : codes) {
    code.refine = BucketsToRefine(code.buckets, input.settings.value_bins);
    for (const KeyCount& bucket : code.buckets) {
      if (!std::binary_search(code.refine.begin(), code.refine.end(), bucket.first)) continue;
      code.most_keys += std::min<std::uint64_t>(bucket.second, 1U << 16);
    }
  }
  return codes;
}

// Counts the values in the refined buckets of codes [begin, end).
class ExactCounter {
 public:
  ExactCounter(const FitInput& input, const CodeBuckets* begin, const CodeBuckets* end)
      : input_(input), wanted_(input.codes.size(), nullptr) {
    for (const CodeBuckets* code = begin; code != end; ++code) wanted_[code->code] = code;
  }
  void Count(const CleanPartition& partition, CountingMap& counts) const {
    const CleanEvent* event = partition.events.data();
    for (const SubjectRecord& subject : partition.subjects) {
      const CleanEvent* timed = event + subject.num_static;
      event = timed + subject.num_timed;
      if (static_cast<Split>(subject.split) != Split::kTrain) continue;
      for (; timed != event; ++timed) Count(*timed, counts);
    }
  }

 private:
  void Count(const CleanEvent& event, CountingMap& counts) const {
    const CodeBuckets* code = wanted_[event.code];
    if (code == nullptr || event.value != event.value ||
        !IsPlausible(input_.rules[event.code], event.value)) {
      return;
    }
    const std::uint32_t key = OrderKey(event.value);
    if (!std::binary_search(code->refine.begin(), code->refine.end(), key >> 16)) return;
    counts.Add(static_cast<std::uint64_t>(event.code) << 32 | key);
  }
  const FitInput& input_;
  std::vector<const CodeBuckets*> wanted_;
};

}  // namespace

std::vector<std::vector<float>> FitAllBinEdges(const FitInput& input, int workers,
                                               std::int64_t memory_bytes, const Ranks& ranks,
                                               const PartitionPass& pass) {
  const std::vector<CodeBuckets> codes = BucketsByCode(input);
  std::vector<std::vector<float>> edges(input.codes.size());
  // Entries of a round: each worker's map and the merged one, at most two thirds empty.
  const std::uint64_t most_keys =
      static_cast<std::uint64_t>(memory_bytes) / 4 / 64 / static_cast<std::uint64_t>(workers + 1);
  for (std::size_t begin = 0; begin < codes.size();) {
    std::size_t end = begin;
    std::uint64_t keys = 0;
    while (end < codes.size() && (end == begin || keys + codes[end].most_keys <= most_keys)) {
      keys += codes[end++].most_keys;
    }
    const ExactCounter counter(input, codes.data() + begin, codes.data() + end);
    std::vector<CountingMap> counts(static_cast<std::size_t>(workers));
    pass([&](int worker, const CleanPartition& partition) {
      counter.Count(partition, counts[static_cast<std::size_t>(worker)]);
    });
    for (std::size_t w = 1; w < counts.size(); ++w) {
      counts[0].Merge(counts[w]);
      counts[w] = {};
    }
    ByteWriter bytes;
    bytes.Put(counts[0]);
    CountingMap merged;
    for (const std::string& packed : ranks.Exchange(bytes.Take())) ByteReader(packed).AddTo(merged);
    const auto sorted = merged.Sorted();
    auto next = sorted.begin();
    for (; begin < end; ++begin) {
      std::vector<KeyCount> exact;
      for (; next != sorted.end() && next->first >> 32 == codes[begin].code; ++next) {
        exact.emplace_back(static_cast<std::uint32_t>(next->first), next->second);
      }
      edges[codes[begin].code] =
          FitBinEdges(codes[begin].buckets, exact, input.settings.value_bins);
    }
  }
  return edges;
}

}  // namespace sequela
