// How often each token stands in train, and how many train subjects have it.
#pragma once

#include <cstdint>
#include <vector>

#include "dataio/ingest/event_tokenizer.h"
#include "dataio/ingest/fitting/vocabulary_fit.h"
#include "dataio/ingest/ranks.h"
#include "dataio/ingest/reading/event_records.h"

namespace sequela {

// One worker's counts. One thread at a time.
class TokenCounter {
 public:
  explicit TokenCounter(std::size_t vocabulary_size)
      : use_(vocabulary_size), last_subject_(vocabulary_size) {}
  void Count(const CleanPartition& partition, const Tokenizer& tokenizer);
  const std::vector<TokenUse>& use() const { return use_; }

 private:
  std::vector<TokenUse> use_;
  std::vector<std::uint32_t> last_subject_;
  std::uint32_t subject_ = 0;
  EncodedChain chain_;
};

std::vector<TokenUse> MergeCounts(const std::vector<TokenCounter>& counters, const Ranks& ranks);

}  // namespace sequela
