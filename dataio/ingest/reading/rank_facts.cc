#include "dataio/ingest/reading/rank_facts.h"

#include <algorithm>
#include <set>

#include "dataio/ingest/reading/bytes.h"

namespace sequela {
namespace {

// Rows that go back in time from one row group to the next of the same file.
std::int64_t CountGroupsOutOfOrder(const std::vector<ReadTask>& tasks,
                                   const std::vector<RowGroupEnds>& ends) {
  std::int64_t bad = 0;
  for (std::size_t i = 1; i < tasks.size(); ++i) {
    if (tasks[i].file != tasks[i - 1].file || ends[i].empty || ends[i - 1].empty) continue;
    bad += ends[i].first_subject == ends[i - 1].last_subject &&
                   ends[i].first_time < ends[i - 1].last_time
               ? 1
               : 0;
  }
  return bad;
}

// All ranks' strings in one sorted list, and each rank's numbers as places there.
void UniteStrings(std::vector<RankStrings>& ranks, std::vector<std::string>& all,
                  std::vector<std::vector<std::uint32_t>>& place_of) {
  for (const RankStrings& rank : ranks) {
    all.insert(all.end(), rank.sorted.begin(), rank.sorted.end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  for (RankStrings& rank : ranks) {
    std::vector<std::uint32_t> place(rank.sorted.size());
    for (std::size_t i = 0; i < place.size(); ++i) {
      place[i] = static_cast<std::uint32_t>(
          std::lower_bound(all.begin(), all.end(), rank.sorted[i]) - all.begin());
    }
    for (std::uint32_t& number : rank.rank_of) {
      number = place.empty() ? 0 : place[number];
    }
    place_of.push_back(std::move(rank.rank_of));
  }
}

// The fields in the order of their bytes, for packing and unpacking alike.
template <typename Facts, typename Body>
void ForEachField(Facts& facts, const Body& body) {
  body(facts.findings);
  for (auto* strings : {&facts.codes, &facts.texts}) {
    body(strings->sorted);
    body(strings->rank_of);
  }
  body(facts.timed);
  body(facts.midnight);
  body(facts.plain_codes);
  body(facts.excluded);
  body(facts.ends);
}

RankFacts Unpack(std::string_view packed) {
  RankFacts facts;
  ByteReader bytes(packed);
  ForEachField(facts, [&](auto& field) { bytes.Get(field); });
  return facts;
}

}  // namespace

void AddPlainCode(std::string& known, const std::string& code) {
  if (known.empty() || code < known) known = code;
}

std::string Pack(const RankFacts& facts) {
  ByteWriter bytes;
  ForEachField(facts, [&](const auto& field) { bytes.Put(field); });
  return bytes.Take();
}

ReadResult Combine(const std::vector<std::string>& packed, const std::vector<ReadTask>& tasks) {
  std::vector<RankFacts> facts;
  facts.reserve(packed.size());
  for (const std::string& bytes : packed) facts.push_back(Unpack(bytes));
  ReadResult result;
  std::vector<RankStrings> codes;
  std::vector<RankStrings> texts;
  std::vector<RowGroupEnds> ends(tasks.size());
  std::set<std::int64_t> excluded;
  for (std::size_t rank = 0; rank < facts.size(); ++rank) {
    result.findings.Merge(facts[rank].findings);
    codes.push_back(std::move(facts[rank].codes));
    texts.push_back(std::move(facts[rank].texts));
    excluded.insert(facts[rank].excluded.begin(), facts[rank].excluded.end());
    for (std::size_t i = rank; i < tasks.size(); i += facts.size()) ends[i] = facts[rank].ends[i];
  }
  UniteStrings(codes, result.codes, result.code_rank);
  UniteStrings(texts, result.texts, result.text_rank);
  result.timed_events.resize(result.codes.size());
  result.midnight_events.resize(result.codes.size());
  result.plain_codes.resize(result.codes.size());
  for (std::size_t rank = 0; rank < facts.size(); ++rank) {
    for (std::size_t i = 0; i < facts[rank].timed.size(); ++i) {
      if (facts[rank].timed[i] == 0) continue;
      result.timed_events[result.code_rank[rank][i]] += facts[rank].timed[i];
      result.midnight_events[result.code_rank[rank][i]] += facts[rank].midnight[i];
    }
  }
  for (std::size_t rank = 0; rank < facts.size(); ++rank) {
    for (std::size_t i = 0; i < facts[rank].plain_codes.size(); ++i) {
      if (facts[rank].plain_codes[i].empty()) continue;
      AddPlainCode(result.plain_codes[result.code_rank[rank][i]], facts[rank].plain_codes[i]);
    }
  }
  result.findings[Finding::kExcludedSubjects] = static_cast<std::int64_t>(excluded.size());
  result.findings[Finding::kRowsOutOfOrder] += CountGroupsOutOfOrder(tasks, ends);
  return result;
}

}  // namespace sequela
