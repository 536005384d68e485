#include "dataio/ingest/fitting/token_counts.h"

#include "dataio/ingest/reading/bytes.h"

namespace sequela {

void TokenCounter::Count(const CleanPartition& partition, const Tokenizer& tokenizer) {
  std::span<const CleanEvent> rest = partition.events;
  std::int64_t ignored = 0;
  for (const SubjectRecord& subject : partition.subjects) {
    const std::size_t count = std::size_t{subject.num_static} + subject.num_timed;
    const auto events = rest.first(count);
    rest = rest.subspan(count);
    if (static_cast<Split>(subject.split) != Split::kTrain) continue;
    ++subject_;
    chain_.Clear();
    tokenizer.Encode(subject, events, chain_, &ignored);
    for (const std::uint32_t token : chain_.token) {
      ++use_[token].events;
      if (last_subject_[token] == subject_) continue;
      last_subject_[token] = subject_;
      ++use_[token].subjects;
    }
  }
}

std::vector<TokenUse> MergeCounts(const std::vector<TokenCounter>& counters, const Ranks& ranks) {
  std::vector<TokenUse> mine(counters.at(0).use().size());
  const auto add = [](const std::vector<TokenUse>& from, std::vector<TokenUse>& to) {
    for (std::size_t i = 0; i < to.size(); ++i) {
      to[i].events += from[i].events;
      to[i].subjects += from[i].subjects;
    }
  };
  for (const TokenCounter& counter : counters) add(counter.use(), mine);
  ByteWriter bytes;
  bytes.Put(mine);
  std::vector<TokenUse> all(mine.size());
  for (const std::string& packed : ranks.Exchange(bytes.Take())) {
    std::vector<TokenUse> use;
    ByteReader(packed).Get(use);
    add(use, all);
  }
  return all;
}

}  // namespace sequela
