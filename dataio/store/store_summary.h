// What `sequela inspect` says of a chain store.
#pragma once

#include <array>
#include <cstdint>

#include "dataio/store/chain_store.h"
#include "dataio/store/vocabulary.h"

namespace sequela {

struct StoreSummary {
  struct SplitFacts {
    std::int64_t subjects = 0;
    std::int64_t events = 0;  // tokens with a code, static ones included
    std::int64_t tokens = 0;
  };
  struct KindFacts {
    std::int64_t vocabulary = 0;   // tokens of this kind
    std::int64_t occurrences = 0;  // in all chains
  };
  std::array<SplitFacts, 3> by_split;             // indexed by Split
  std::array<KindFacts, kNumTokenKinds> by_kind;  // indexed by TokenKind
  // Chain lengths in tokens at 0, 10, 25, 50, 75, 90, 99 and 100 % of the subjects.
  static constexpr std::array<int, 8> kPercents = {0, 10, 25, 50, 75, 90, 99, 100};
  std::array<std::int64_t, 8> length_quantiles{};
  std::int64_t unknown_tokens = 0;  // [UNK]
  std::int64_t values = 0;          // tokens with a numeric value
};

// Reads all chains. Throws InputError where a token or a code is outside of its table.
StoreSummary Summarize(const ChainStore& store);

}  // namespace sequela
