// In-box baselines on a chain store: n-gram models over its tokens, on the targets that the model
// has, and over its events' codes (bins marginalised).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataio/store/chain_store.h"
#include "trainer/evaluation/ngram.h"

namespace sequela {

// Which tokens are one code: all bins and results of a code, and its plain token. Tokens without a
// code are groups of their own.
struct CodeGroups {
  explicit CodeGroups(const Vocabulary& vocabulary);
  std::vector<std::int32_t> group_of_token;  // [vocabulary size]
  std::vector<std::int32_t> token_of_group;  // the first token of each group
  std::int32_t num_groups() const { return static_cast<std::int32_t>(token_of_group.size()); }
};

// A chain as n-gram models read it. Tokens: every token but [END] is a symbol, targets as in
// IsTarget; copy-last repeats the token of the event before. Codes: one symbol for each event
// (static ones are context only).
SymbolSequence TokenSequence(const Vocabulary& vocabulary, const ChainView& chain);
SymbolSequence CodeSequence(const Vocabulary& vocabulary, const CodeGroups& groups,
                            const ChainView& chain);

// Counted on the train split; mixing weights from the tuning split, or, where that has no targets,
// from every tenth train subject, which then is not counted.
NgramModel FitTokenBaseline(const ChainStore& store);
NgramModel FitCodeBaseline(const ChainStore& store, const CodeGroups& groups);

}  // namespace sequela
