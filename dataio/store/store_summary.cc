#include "dataio/store/store_summary.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace sequela {
namespace {

void AddChain(const ChainStore& store, const ChainView& chain, StoreSummary* summary) {
  const Vocabulary& vocabulary = store.vocabulary();
  StoreSummary::SplitFacts& split = summary->by_split[static_cast<std::size_t>(chain.split)];
  split.subjects += 1;
  split.tokens += chain.size();
  for (std::int64_t i = 0; i < chain.size(); ++i) {
    const std::int32_t token = chain.token(i);
    const auto place = static_cast<std::size_t>(i);
    split.events += chain.code[place] != kNoCode ? 1 : 0;
    summary->by_kind[static_cast<std::size_t>(vocabulary[token].kind)].occurrences += 1;
    summary->unknown_tokens += token == vocabulary.unk() ? 1 : 0;
    summary->values += std::isnan(chain.value[place]) ? 0 : 1;
  }
}

}  // namespace

StoreSummary Summarize(const ChainStore& store) {
  StoreSummary summary;
  for (const TokenEntry& entry : store.vocabulary().tokens()) {
    summary.by_kind[static_cast<std::size_t>(entry.kind)].vocabulary += 1;
  }
  std::vector<std::int64_t> lengths;
  for (std::int64_t i = 0; i < store.num_subjects(); ++i) {
    AddChain(store, store.checked_chain(i), &summary);
    lengths.push_back(store.chain_length(i));
  }
  std::sort(lengths.begin(), lengths.end());
  for (std::size_t k = 0; k < summary.kPercents.size() && !lengths.empty(); ++k) {
    const auto last = static_cast<std::int64_t>(lengths.size()) - 1;
    summary.length_quantiles[k] =
        lengths[static_cast<std::size_t>((last * summary.kPercents[k] + 50) / 100)];
  }
  return summary;
}

}  // namespace sequela
